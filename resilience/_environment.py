"""What the environment says of the configuration, for one process: one variable for each simple value of the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast

from ._finding import near
from ._modes import LAYERS, Mode
from ._store_url import VARIABLE
from .errors import Place, PolicyError, Problem

if TYPE_CHECKING:
    from ._document import Document, Keys

__all__ = ["Value", "overridden", "provider_values", "values", "variables"]

_PREFIX = "RESILIENCE_"
_PROVIDER = f"{_PREFIX}PROVIDER_"
# What this library reads in other places: these say nothing that could stand in the file.
_OTHERS = frozenset(f"{_PREFIX}{name}" for name in ("AUTO", "CONFIG", "EXPLAIN", "RUN_PID"))
_TESTS = f"{_PREFIX}TEST_"
# What somebody in need types first: taken for a switch that works, it would leave all policies in force.
_SWITCH = f"{_PREFIX}OFF"
_REAL_SWITCHES = (
    "unset it, and set RESILIENCE_AUTO=0 to have `resilience run` and autoload do nothing, or RESILIENCE_MODE=off to switch "
    "the layers off"
)
# What Kubernetes tells each container of a Service that is called "resilience", in the form of Docker's links.
_OF_KUBERNETES = re.compile(
    rf"{_PREFIX}(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9][A-Z0-9_]*)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
_NO_LETTER = re.compile(r"[^A-Z0-9]", re.ASCII)
_SWITCHES = {"true": True, "1": True, "false": False, "0": False}


class Value(NamedTuple):
    """A value of the configuration that a variable gives."""

    keys: Keys
    value: object
    variable: str


def _text(text: str) -> object:
    return text


def _switch(text: str) -> object:
    """True or false; anything else is refused by the model, as in the file."""
    return _SWITCHES.get(text.lower(), text)


def _listed(text: str) -> object:
    return [part.strip() for part in text.split(",")]


def _shipped(text: str) -> object:
    return _SWITCHES[text.lower()] if text.lower() in _SWITCHES else _listed(text)


def _modes(text: str) -> object:
    if "=" not in text:
        return text
    pairs = [part.partition("=") for part in text.split(",")]
    modes: dict[str, object] = {}
    for layer, equals, mode in pairs:
        name = layer.strip()
        if not equals or name not in LAYERS:
            raise ValueError(f"{name[:40]!r} is no layer with its mode", near(name, LAYERS))
        if name in modes:
            raise ValueError(f"{name!r} stands twice", "keep one")
        modes[name] = mode.strip()
    return modes


def _number(text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


_FILE: Mapping[str, Callable[[str], object]] = {
    "GATE": _number,
    "MODE": _modes,
    "NAMESPACE": _text,
    "REFUSALS": _text,
    "RELOAD": _text,
    "SHIPPED": _shipped,
    "SPANS": _text,
    "STORE": _text,
}
_OF_PROVIDER: Mapping[str, Callable[[str], object]] = {
    "HOSTS": _listed,
    "LEDGER": _switch,
    "MODE": _modes,
    "OFF": _switch,
    "PLAN": _text,
    "REFUSALS": _text,
}


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that speak of the configuration; one that is empty says nothing."""
    return {
        name: text
        for name, text in environment.items()
        if name.startswith(_PREFIX)
        and text
        and name not in _OTHERS
        and not name.startswith(_TESTS)
        and not _OF_KUBERNETES.fullmatch(name)
    }


def values(found: Mapping[str, str], document: Document) -> list[Value]:
    """What variables say, apart from what they say of providers.

    Arguments:
        found: the variables.
        document: the file.

    Raises:
        PolicyError: there is no such variable, or what it says cannot be read; with every problem.
    """
    known = {f"{_PREFIX}{name}": (name.lower(),) for name in _FILE}
    own = _mapping(document).get("store")
    # A variable that the store itself asks for may be called as its owner likes.
    asked_for = set(VARIABLE.findall(f"{own} {found.get(f'{_PREFIX}STORE')}"))
    mine = {name: text for name, text in found.items() if not name.startswith(_PROVIDER) and name not in asked_for}
    return _read(mine, {name: [keys] for name, keys in known.items()}, [*known, f"{_PROVIDER}<NAME>_PLAN"])


def provider_values(found: Mapping[str, str], names: Iterable[str]) -> list[Value]:
    """What variables say of providers.

    Arguments:
        found: the variables.
        names: of the providers that there are.

    Raises:
        PolicyError: a variable speaks of no provider, or of two, or cannot be read; with every problem.
    """
    mine = {name: text for name, text in found.items() if name.startswith(_PROVIDER)}
    known: dict[str, list[Keys]] = {}
    for name in names:
        for key in _OF_PROVIDER:
            variable = f"{_PROVIDER}{_NO_LETTER.sub('_', name.upper())}_{key}"
            known.setdefault(variable, []).append(("providers", name, key.lower()))
    return _read(mine, known, sorted(known)) if mine else []


def _read(found: Mapping[str, str], known: Mapping[str, list[Keys]], names: list[str]) -> list[Value]:
    read: list[Value] = []
    problems: list[Problem] = []
    for variable, text in sorted(found.items()):
        place, meant = Place(variable, 0, 0), known.get(variable, [])
        if not meant:
            # Those of the same kind first: only so many are compared.
            alike = sorted(names, key=lambda name: name.rpartition("_")[2] != variable.rpartition("_")[2])
            remedy = _REAL_SWITCHES if variable == _SWITCH else f"{near(variable, alike)} else unset it"
            problems.append(Problem(place, "this library knows no such variable", remedy))
        elif len(meant) > 1:
            both = " and ".join(repr(keys[1]) for keys in meant)
            problems.append(
                Problem(place, f"this may mean {both}", "unset it, and write the value into resilience.yaml")
            )
        else:
            keys = meant[0]
            table = _FILE if len(keys) == 1 else _OF_PROVIDER
            try:
                read.append(Value(keys, table[str(keys[-1]).upper()](text), variable))
            except ValueError as error:
                problems.append(Problem(place, *error.args))
    if problems:
        raise PolicyError(problems)
    return read


def overridden(document: Document, given: Iterable[Value]) -> Document:
    """The document with these values in place of its own; each of them stands at the name of its variable."""
    data = _mapping(document)
    if not data:
        # No configuration, as its reader will say.
        return document
    made = replace(document, data=data, places=dict(document.places), key_places=dict(document.key_places))
    for keys, value, variable in given:
        _put(made, keys, value, Place(variable, 0, 0))
    return made


def _mapping(document: Document) -> dict[str, object]:
    data = document.data
    return dict(cast("dict[str, object]", data)) if isinstance(data, dict) else {}


def _put(document: Document, keys: Keys, value: object, place: Place) -> None:
    places, key_places = cast("dict[Keys, Place]", document.places), cast("dict[Keys, Place]", document.key_places)
    parent = cast("dict[str | int, object]", document.data)
    for depth, key in enumerate(keys[:-1], 1):
        below = parent.get(key)
        if below is None:
            places[keys[:depth]] = key_places[keys[:depth]] = place
        elif not isinstance(below, dict):
            # A mistake of the file, which its reader will name.
            return
        copied = dict(cast("dict[str | int, object]", below or {}))
        parent[key], parent = copied, copied
    if isinstance(value, dict):
        _put_modes(document, keys, parent, cast("dict[str, object]", value), place)
        return
    for known in [each for each in places if each[: len(keys)] == keys]:
        del places[known]
        key_places.pop(known, None)
    places[keys] = key_places[keys] = place
    parent[keys[-1]] = value


def _put_modes(
    document: Document, keys: Keys, parent: dict[str | int, object], modes: dict[str, object], place: Place
) -> None:
    """Modes of single layers: those of the others stay as they are."""
    places, key_places = cast("dict[Keys, Place]", document.places), cast("dict[Keys, Place]", document.key_places)
    before = parent.get(keys[-1])
    if before is None:
        places[keys] = key_places[keys] = place
    elif isinstance(before, str) and before in set(Mode):
        for layer in LAYERS:
            places[*keys, layer] = key_places[*keys, layer] = document.place(keys)
        before = dict.fromkeys(cast("tuple[str, ...]", LAYERS), before)
    elif not isinstance(before, dict):
        # A mistake of the file, which its reader will name.
        return
    for named in modes:
        places[*keys, named] = key_places[*keys, named] = place
    parent[keys[-1]] = {**cast("dict[str, object]", before or {}), **modes}
