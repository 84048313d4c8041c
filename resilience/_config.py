"""The user's own file, `resilience.yaml`: which policies are active, for which hosts."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._registry import Policies, Settings, Source
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._config_model import Config, Provider
    from ._policy import Policy

__all__ = ["ConfigLike", "PolicyLike", "find_config", "own_policies", "policies_for"]

PolicyLike = "str | os.PathLike[str] | Policy"
"""A shipped name, a path to a file, or a loaded policy."""
ConfigLike = "str | os.PathLike[str] | Mapping[str, Any]"
"""A path to a file, or what would stand in it."""

_VARIABLE = "RESILIENCE_CONFIG"
_FILE = "resilience.yaml"
_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)


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
    settings, directory = _read(config)
    if policies is not None:
        chosen = [_given(policy, Path()) for policy in policies]
    else:
        own = [_given(path, directory) for path in settings.policies] if settings else []
        names = {source.name for source in own}
        shipped = _shipped_names(settings)
        chosen = [*own, *(_shipped(name) for name in shipped if name not in names)]
    if settings is None:
        return Policies(chosen)
    return Policies(_adjusted(chosen, settings), store=_store_url(settings.store), namespace=settings.namespace)


def own_policies(config: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> tuple[Path, ...]:
    """The files of the user's own policies, as the configuration names them.

    Raises:
        ConfigurationError: the configuration, or a policy's name in it, leads to no file.
    """
    from ._shipped import find_policy

    settings, directory = _read(config)
    return tuple(find_policy(policy, directory) for policy in settings.policies) if settings else ()


def find_config() -> Path | None:
    """The configuration file that applies when none is named."""
    named = os.environ.get(_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"{_VARIABLE} names {named}, which is not a file; correct or unset it")
        return Path(named)
    here = Path(_FILE)
    return here if here.is_file() else None


def _read(config: str | os.PathLike[str] | Mapping[str, Any] | None) -> tuple[Config | None, Path]:
    if config is None:
        config = find_config()
    if config is None:
        return None, Path()
    from ._config_model import Config, read_config

    if isinstance(config, Mapping):
        return read_config(config), Path()
    if not isinstance(config, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"a configuration is a path or a mapping, not {config!r:.60}")
    path = Path(config)
    from ._load import load

    return load(path, Config), path.parent


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


def _shipped_names(settings: Config | None) -> tuple[str, ...]:
    from ._shipped import shipped_names

    names = shipped_names()
    if settings is None or settings.shipped is True:
        return names
    chosen = settings.shipped or ()
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ConfigurationError(f"shipped: there is no policy {unknown[0]!r}; there are: {', '.join(names)}")
    return tuple(chosen)


@cache
def _shipped(name: str) -> Source:
    """A shipped policy gives its hosts cheaply; the rest of it is read when one of them is called."""
    from ._shipped import find_policy, hosts_of

    return Source(name, hosts_of(find_policy(name)), partial(_loaded, name, Path()))


def _adjusted(sources: list[Source], settings: Config) -> list[Source]:
    """The sources with the hosts that the configuration gives them, without those that it switches off."""
    known = {source.name for source in sources}
    unknown = [name for name in settings.providers if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
        raise ConfigurationError(f"providers: there is no policy for {unknown[0]!r}; {hint}")
    adjusted: list[Source] = []
    for source in sources:
        provider = settings.providers.get(source.name)
        if provider is None or not provider.off:
            hosts = (provider and provider.hosts) or source.hosts
            adjusted.append(Source(source.name, hosts, _with_plan(source, provider), _settings(settings, provider)))
    return adjusted


def _settings(config: Config, provider: Provider | None) -> Settings:
    if provider is None:
        return Settings(modes=config.mode, refusals=config.refusals)
    modes = {**config.mode, **(provider.mode or {})}
    return Settings(provider.plan, modes, provider.refusals or config.refusals)


def _with_plan(source: Source, provider: Provider | None) -> Callable[[], Policy]:
    """The policy, once it is clear that it knows the user's plan."""
    plan = None if provider is None else provider.plan
    if plan is None:
        return source.policy

    def load() -> Policy:
        policy = source.policy()
        if plan not in policy.plans:
            known = ", ".join(policy.plans) or "none at all"
            raise ConfigurationError(f"providers.{source.name}.plan: there is no plan {plan!r}; there are: {known}")
        return policy

    # Whoever names a plan has the policy loaded at once: a plan that does not exist is refused where it is named.
    load()
    return load


def _store_url(text: str) -> str:
    """The URL with its environment variables, so that no password need stand in a file."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise ConfigurationError(f"store: the environment has no variable {match[1]}; set it, or write the URL")
        return found

    return _ENVIRONMENT.sub(value, text)
