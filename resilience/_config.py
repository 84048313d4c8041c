"""The user's own file, `resilience.yaml`: which policies are active, for which hosts, with which settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._budget_checks import strange_budgets
from ._config_read import Read, find_config, read
from ._finding import near
from ._registry import Policies, Settings, Source
from .errors import ConfigurationError, PolicyError

if TYPE_CHECKING:
    from ._modes import Layer, Mode
    from ._policy import Policy

__all__ = ["active", "find_config", "named_plan", "own_policies", "policies_for"]


def policies_for(
    policies: Iterable[str | os.PathLike[str] | Policy] | None = None,
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    anywhere: bool = False,
) -> Policies:
    """The policies that are active.

    Arguments:
        policies: exactly these; without a `config` beside them, nothing else is looked at.
        config: the configuration; by default the file that RESILIENCE_CONFIG names, else ./resilience.yaml if there is
            one, else every shipped policy for its own hosts.
        anywhere: whether they may be for another machine, which has other directories.

    Raises:
        ConfigurationError: a file is missing or cannot be honoured (PolicyError has the places), or two policies claim
            one host.
    """
    if isinstance(policies, str | os.PathLike):
        raise ConfigurationError(f"policies is a list; write [{str(policies)!r}]")
    if policies is not None and config is None:
        return Policies([_given(policy, Path()) for policy in policies])
    return active(read(config), policies, anywhere=anywhere)


def active(
    found: Read | None,
    policies: Iterable[str | os.PathLike[str] | Policy] | None = None,
    *,
    load: Callable[[str | os.PathLike[str], Path], Policy] | None = None,
    anywhere: bool = False,
) -> Policies:
    """The policies that a configuration makes active, as `policies_for` says.

    Arguments:
        found: the configuration, which takes what the environment says of providers; `None` for none.
        policies: exactly these.
        load: reads the policies that the configuration names: each by its name or path, and what that counts from.
        anywhere: whether they may be for another machine, which has other directories.

    Raises:
        ConfigurationError: it cannot be honoured, or two policies claim one host.
    """
    if policies is not None:
        chosen = [_given(policy, Path()) for policy in policies]
    else:
        own = list(_own(found, load or _loaded)) if found else []
        names = {source.name for source in own}
        chosen = [*own, *(_shipped(name) for name in _shipped_names(found) if name not in names)]
    if found is None:
        return Policies(chosen)
    from ._config_store import store_url

    found.hear_of(sorted({source.name for source in chosen}))
    adjusted, store = _adjusted(chosen, found), store_url(found, anywhere=anywhere)
    found.settle()
    return Policies(adjusted, store=store, namespace=found.config.namespace, gate=found.config.gate)


def _own(found: Read, load: Callable[[str | os.PathLike[str], Path], Policy]) -> Iterator[Source]:
    """The user's own policies; one that is not there is told of where it is named."""
    for index, name in enumerate(found.config.policies):
        try:
            yield _given(load(name, found.directory), Path())
        except PolicyError:
            # It is there, and has places of its own.
            raise
        except ConfigurationError as error:
            message, _, remedy = str(error).partition("; ")
            found.refuse(("policies", index), message, remedy)
    found.settle()


def own_policies(config: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> tuple[Path, ...]:
    """The files of the user's own policies, as the configuration names them.

    Raises:
        ConfigurationError: the configuration, or a policy's name in it, leads to no file.
    """
    from ._shipped import find_policy

    # No variable stands for them, and one with a mistake is told by whoever heeds it.
    found = read(config, {})
    return tuple(find_policy(policy, found.directory) for policy in found.config.policies) if found else ()


def named_plan(provider: str, config: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> str | None:
    """The plan of a provider that the configuration names.

    Raises:
        ConfigurationError: the configuration cannot be read.
    """
    found = read(config)
    if found is None:
        return None
    found.hear_of(_names(found))
    settings = found.config.providers.get(provider)
    return settings.plan if settings else None


def _names(found: Read) -> list[str]:
    own = {_given(path, found.directory).name for path in found.config.policies}
    return sorted(own.union(_shipped_names(found)))


def _given(policy: str | os.PathLike[str] | Policy, directory: Path) -> Source:
    """A policy that somebody named is loaded at once: its mistakes are shown where it is named."""
    from ._policy import Policy

    if not isinstance(policy, str | os.PathLike | Policy):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"a policy is a name, a path or a Policy, not {policy!r:.60}")
    loaded = policy if isinstance(policy, Policy) else _loaded(policy, directory)
    source = Source(loaded.provider, loaded.match.hosts, lambda: loaded)
    source.policy()
    return source


def _loaded(policy: str | os.PathLike[str], directory: Path) -> Policy:
    from ._load import load_policy
    from ._shipped import find_policy

    return load_policy(find_policy(policy, directory))


def _shipped_names(found: Read | None) -> tuple[str, ...]:
    from ._shipped import shipped_names

    names = shipped_names()
    if found is None or found.config.shipped is True:
        return names
    chosen = found.config.shipped or ()
    for index, name in enumerate(chosen):
        if name not in names:
            found.refuse(("shipped", index), f"there is no policy {name!r}", near(name, names))
    return tuple(name for name in chosen if name in names)


@cache
def _shipped(name: str) -> Source:
    """A shipped policy gives its hosts cheaply; the rest of it is read when one of them is called."""
    from ._hosts_ahead import hosts_of
    from ._shipped import find_policy

    return Source(name, hosts_of(find_policy(name)), partial(_loaded, name, Path()))


def _adjusted(sources: list[Source], found: Read) -> list[Source]:
    """The sources with the hosts and settings that the configuration gives them, without those that it switches off."""
    config = found.config
    known = sorted({source.name for source in sources})
    for name in config.providers:
        if name not in known:
            found.refuse(("providers", name), f"there is no policy for {name!r}", near(name, known), key=True)
    adjusted: list[Source] = []
    for source in sources:
        provider = config.providers.get(source.name)
        if provider is None:
            settings = Settings(modes=config.mode, refusals=config.refusals, spans=config.spans)
            adjusted.append(source.adjusted(source.hosts, settings))
        elif not provider.off:
            _check_plan(source, provider.plan, found)
            modes: dict[Layer, Mode] = {**config.mode, **(provider.mode or {})}
            for keys, message, remedy in strange_budgets(source, provider.budgets):
                found.refuse(("providers", source.name, "budgets", *keys), message, remedy)
            ledger = bool(provider.budgets) if provider.ledger is None else provider.ledger
            settings = Settings(
                provider.plan,
                modes,
                provider.refusals or config.refusals,
                budgets=provider.budgets,
                ledger=ledger,
                spans=config.spans,
            )
            adjusted.append(source.adjusted(provider.hosts or source.hosts, settings))
    return adjusted


def _check_plan(source: Source, plan: str | None, found: Read) -> None:
    # Whoever names a plan has the policy loaded at once: a plan that does not exist is refused where it is named.
    if plan is not None and plan not in (plans := source.policy().plans):
        found.refuse(("providers", source.name, "plan"), f"{source.name} has no plan {plan!r}", near(plan, plans))
