"""The user's own file, `resilience.yaml`: which policies are active, for which hosts, with which settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._budget_checks import strange_budgets
from ._finding import near
from ._registry import Policies, Settings, Source
from .errors import ConfigurationError, Place, PolicyError, Problem

if TYPE_CHECKING:
    from ._config_model import Config
    from ._modes import Layer, Mode
    from ._policy import Policy
    from ._yaml import Document, Keys

__all__ = ["ConfigLike", "PolicyLike", "find_config", "named_plan", "own_policies", "policies_for"]

PolicyLike = "str | os.PathLike[str] | Policy"
"""A shipped name, a path to a file, or a loaded policy."""
ConfigLike = "str | os.PathLike[str] | Mapping[str, Any]"
"""A path to a file, or what would stand in it."""

_VARIABLE = "RESILIENCE_CONFIG"
_FILE = "resilience.yaml"


def policies_for(
    policies: Iterable[str | os.PathLike[str] | Policy] | None = None,
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
) -> Policies:
    """The policies that are active.

    Arguments:
        policies: exactly these; without a `config` beside them, nothing else is looked at.
        config: the configuration; by default the file that RESILIENCE_CONFIG names, else ./resilience.yaml if there is
            one, else every shipped policy for its own hosts.

    Raises:
        ConfigurationError: a file is missing or cannot be honoured (PolicyError has the places), or two policies claim
            one host.
    """
    if isinstance(policies, str | os.PathLike):
        raise ConfigurationError(f"policies is a list; write [{str(policies)!r}]")
    if policies is not None and config is None:
        return Policies([_given(policy, Path()) for policy in policies])
    read = _read(config)
    if policies is not None:
        chosen = [_given(policy, Path()) for policy in policies]
    else:
        own = [_given(path, read.directory) for path in read.config.policies] if read else []
        names = {source.name for source in own}
        chosen = [*own, *(_shipped(name) for name in _shipped_names(read) if name not in names)]
    if read is None:
        return Policies(chosen)
    adjusted, store = _adjusted(chosen, read), _store_url(read)
    read.settle()
    return Policies(adjusted, store=store, namespace=read.config.namespace)


def own_policies(config: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> tuple[Path, ...]:
    """The files of the user's own policies, as the configuration names them.

    Raises:
        ConfigurationError: the configuration, or a policy's name in it, leads to no file.
    """
    from ._shipped import find_policy

    read = _read(config)
    return tuple(find_policy(policy, read.directory) for policy in read.config.policies) if read else ()


def named_plan(provider: str, config: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> str | None:
    """The plan of a provider that the configuration names.

    Raises:
        ConfigurationError: the configuration cannot be read.
    """
    read = _read(config)
    settings = read.config.providers.get(provider) if read else None
    return settings.plan if settings else None


def find_config() -> Path | None:
    """The configuration file that applies when none is named."""
    named = os.environ.get(_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"{_VARIABLE} names {named}, which is not a file; correct or unset it")
        return Path(named)
    here = Path(_FILE)
    return here if here.is_file() else None


class _Read:
    """A configuration, and what cannot be honoured in it: all of it is told at once.

    Arguments:
        config: what it says.
        directory: what its paths count from.
        document: where its parts stand; `None` for one that stands in no file.
    """

    def __init__(self, config: Config, directory: Path, document: Document | None = None) -> None:
        self.config = config
        self.directory = directory
        self._document = document
        self._mistakes: list[tuple[Keys, Problem]] = []

    def refuse(self, keys: Keys, message: str, remedy: str, *, key: bool = False) -> None:
        """Note what cannot be honoured at `keys`; with `key` it is the key itself, and not its value."""
        place = self._document.place(keys, key=key) if self._document else Place("", 1, 1)
        self._mistakes.append((keys, Problem(place, message, remedy)))

    def settle(self) -> None:
        """Go on only if nothing was refused."""
        if self._mistakes and self._document:
            raise PolicyError([problem for _, problem in self._mistakes])
        if self._mistakes:
            found = (f"{'.'.join(map(str, keys))}: {each.message}; {each.remedy}" for keys, each in self._mistakes)
            raise ConfigurationError("\n".join(found))


def _read(config: str | os.PathLike[str] | Mapping[str, Any] | None) -> _Read | None:
    if config is None:
        config = find_config()
    if config is None:
        return None
    from ._config_model import Config, read_config

    if isinstance(config, Mapping):
        return _Read(read_config(config), Path())
    if not isinstance(config, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"a configuration is a path or a mapping, not {config!r:.60}")
    from ._load import load_document
    from ._validate import validate

    document = load_document(config)
    return _Read(validate(Config, document), Path(config).parent, document)


def _given(policy: str | os.PathLike[str] | Policy, directory: Path) -> Source:
    """A policy that somebody named is loaded at once: its mistakes are shown where it is named."""
    from ._policy import Policy

    if not isinstance(policy, str | os.PathLike | Policy):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"a policy is a name, a path or a Policy, not {policy!r:.60}")
    loaded = policy if isinstance(policy, Policy) else _loaded(policy, directory)
    return Source(loaded.provider, loaded.match.hosts, lambda: loaded)


def _loaded(policy: str | os.PathLike[str], directory: Path) -> Policy:
    from ._load import load_policy
    from ._shipped import find_policy

    return load_policy(find_policy(policy, directory))


def _shipped_names(read: _Read | None) -> tuple[str, ...]:
    from ._shipped import shipped_names

    names = shipped_names()
    if read is None or read.config.shipped is True:
        return names
    chosen = read.config.shipped or ()
    for index, name in enumerate(chosen):
        if name not in names:
            read.refuse(("shipped", index), f"there is no policy {name!r}", near(name, names))
    return tuple(name for name in chosen if name in names)


@cache
def _shipped(name: str) -> Source:
    """A shipped policy gives its hosts cheaply; the rest of it is read when one of them is called."""
    from ._shipped import find_policy, hosts_of

    return Source(name, hosts_of(find_policy(name)), partial(_loaded, name, Path()))


def _adjusted(sources: list[Source], read: _Read) -> list[Source]:
    """The sources with the hosts and settings that the configuration gives them, without those that it switches off."""
    config = read.config
    known = sorted({source.name for source in sources})
    for name in config.providers:
        if name not in known:
            read.refuse(("providers", name), f"there is no policy for {name!r}", near(name, known), key=True)
    adjusted: list[Source] = []
    for source in sources:
        provider = config.providers.get(source.name)
        if provider is None:
            settings = Settings(modes=config.mode, refusals=config.refusals, spans=config.spans)
            adjusted.append(Source(source.name, source.hosts, source.policy, settings))
        elif not provider.off:
            _check_plan(source, provider.plan, read)
            modes: dict[Layer, Mode] = {**config.mode, **(provider.mode or {})}
            for keys, message, remedy in strange_budgets(source, provider.budgets):
                read.refuse(("providers", source.name, "budgets", *keys), message, remedy)
            ledger = bool(provider.budgets) if provider.ledger is None else provider.ledger
            settings = Settings(
                provider.plan,
                modes,
                provider.refusals or config.refusals,
                budgets=provider.budgets,
                ledger=ledger,
                spans=config.spans,
            )
            adjusted.append(Source(source.name, provider.hosts or source.hosts, source.policy, settings))
    return adjusted


def _check_plan(source: Source, plan: str | None, read: _Read) -> None:
    # Whoever names a plan has the policy loaded at once: a plan that does not exist is refused where it is named.
    if plan is not None and plan not in (plans := source.policy().plans):
        read.refuse(("providers", source.name, "plan"), f"{source.name} has no plan {plan!r}", near(plan, plans))


def _store_url(read: _Read) -> str:
    from ._store_url import check_store_url, completed

    try:
        url = completed(read.config.store)
        check_store_url(url)
        path = url.removeprefix("sqlite:///")
        if path != url and not Path(path).is_absolute():
            # As every path of the file: workers of other working directories share it too.
            url = f"sqlite:///{(read.directory / path).resolve()}"
    except ConfigurationError as error:
        message, _, remedy = str(error).partition("; ")
        read.refuse(("store",), message, remedy)
        return ""
    return url
