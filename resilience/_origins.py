"""Where each value of the configuration comes from: nobody, a file, an environment variable, or the provider's policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ._config import active
from ._load import read_policy
from ._modes import LAYERS, Mode
from ._shipped import find_policy, shipped_directory
from ._store_url import masked
from ._units import duration_text

if TYPE_CHECKING:
    from ._config_model import Provider
    from ._config_read import Read
    from ._document import Keys
    from ._registry import Source
    from .errors import Place

__all__ = ["Configured", "Origin", "Setting", "configured"]


class Origin(NamedTuple):
    """Where a value comes from."""

    kind: str
    """`default`, `file`, `environment` or `policy`."""
    place: Place | None = None
    """In a file, or at the name of a variable."""

    def __str__(self) -> str:
        words = {"environment": "environment variable ", "policy": "policy "}.get(self.kind, "")
        return self.kind if self.place is None else f"{words}{self.place}"


class Setting(NamedTuple):
    """A value that applies; secrets are hidden in it."""

    key: str
    value: object
    origin: Origin


class Configured(NamedTuple):
    """All that applies."""

    settings: list[Setting]
    providers: dict[str, list[Setting]]


_DEFAULT = Origin("default")


def configured(found: Read) -> Configured:
    """Every value of a configuration, and of each provider's part of it, with its origin.

    Arguments:
        found: the configuration, with a document.

    Raises:
        ConfigurationError: it cannot be honoured.
    """
    sources = {source.name: source for source in active(found, anywhere=True).sources}
    config = found.config
    plain = {
        "policies": list(config.policies),
        "shipped": list(config.shipped) if isinstance(config.shipped, tuple) else config.shipped,
        "store": masked(config.store),
        "namespace": config.namespace,
        "gate": config.gate,
        "spans": config.spans,
        "refusals": config.refusals,
        "reload": duration_text(config.reload) if config.reload else "off",
    }
    settings = [Setting(key, value, _origin(found, (key,))) for key, value in plain.items()]
    settings += [
        Setting(f"mode.{layer}", str(config.mode.get(layer, Mode.ENFORCE)), _mode_origin(found, ("mode",), layer))
        for layer in LAYERS
    ]
    files = {read_policy(path)[0].provider: path for path in _own(found)}
    names = sorted({*sources, *config.providers})
    return Configured(settings, {name: list(_provider(found, name, sources.get(name), files)) for name in names})


def _own(found: Read) -> list[Path]:
    return [find_policy(policy, found.directory) for policy in found.config.policies]


def _provider(found: Read, name: str, source: Source | None, files: dict[str, Path]) -> Iterator[Setting]:
    keys: Keys = ("providers", name)
    said: Provider | None = found.config.providers.get(name)
    yield Setting("off", source is None, _origin(found, (*keys, "off")))
    if source is None:
        return
    file = files.get(name, shipped_directory() / f"{name}.yaml")
    yield Setting("policy", str(file), _origin(found, ("policies",)) if name in files else _origin(found, ("shipped",)))
    hosts = _origin(found, (*keys, "hosts"))
    if hosts is _DEFAULT:
        hosts = Origin("policy", read_policy(file)[1].place(("match", "hosts")))
    yield Setting("hosts", list(source.hosts), hosts)
    yield Setting("plan", source.settings.plan, _origin(found, (*keys, "plan")))
    for layer in LAYERS:
        own = said is not None and layer in (said.mode or {})
        origin = _mode_origin(found, (*keys, "mode") if own else ("mode",), layer)
        yield Setting(f"mode.{layer}", str(source.settings.modes.get(layer, Mode.ENFORCE)), origin)
    refusals = _origin(found, (*keys, "refusals"))
    yield Setting(
        "refusals", source.settings.refusals, _origin(found, ("refusals",)) if refusals is _DEFAULT else refusals
    )
    yield from (
        Setting(f"budgets.{budget.name}", str(budget.limit), _origin(found, (*keys, "budgets", index)))
        for index, budget in enumerate(source.settings.budgets)
    )
    yield Setting("ledger", source.settings.ledger, _origin(found, (*keys, "ledger")))


def _mode_origin(found: Read, keys: Keys, layer: str) -> Origin:
    """A layer's mode is written by its name, or one word stands for all."""
    own = _origin(found, (*keys, layer))
    if own is _DEFAULT and layer in found.config.mode:
        return _origin(found, keys)
    return _origin(found, keys) if own is _DEFAULT and len(keys) > 1 else own


def _origin(found: Read, keys: Keys) -> Origin:
    if found.document is None or keys not in found.document.places:
        return _DEFAULT
    place = found.document.places[keys]
    return Origin("file" if place.line else "environment", place)
