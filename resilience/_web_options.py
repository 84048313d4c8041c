"""The options of the modules for web frameworks: one set for all of them, checked where an application begins."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, cast, get_args

from ._deadline_header import DeadlineForm
from ._finding import near
from ._longest import LONGEST_TIME
from ._tags import check_tags
from .errors import ConfigurationError

__all__ = ["Failing", "Given", "Options", "options_from", "settings_from"]

Failing = Literal["breaker", "latch", "store"]
"""An open breaker, a latched account, a shared store that is away."""
Tags = Mapping[str, str | int] | Callable[[Any], Mapping[str, str | int]]
# RFC 9110 section 5.6.2: a field name is a token.
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


class Given(TypedDict, total=False):
    """The options, as an application gives them."""

    timeout: float | Callable[[Any], float | None] | None
    """Seconds that a request may take; or a function that gives them for one (`None` for no end)."""
    deadline_header: str | None
    """The header in which a caller says how long he waits. It can only shorten `timeout`."""
    deadline_as: DeadlineForm
    """How it is written there: as in a policy's `propagate`."""
    attempts_header: str | None
    """The header in which a caller says how often each call may be sent: 1 where he sends again himself."""
    margin: float
    """Seconds of a caller's deadline that are kept back for the answer, a tenth of it at most."""
    tags: Tags
    """Tags by name; or a function that gives them for a request, when its first call needs them."""
    tag_headers: Mapping[str, str]
    """Tags by name, each with the header that it is in: one that a gateway of yours writes, not the caller."""
    route_tag: str | None
    """The name of a tag for the template of the route, such as `/orders/{id}`."""
    show_provider: bool
    """Whether a caller is told which provider it was."""
    problem_types: str | None
    """What the `type` of a problem begins with, as a URI: your page of errors. Without it, `type` is `about:blank`."""
    health: str | None
    """A path that is answered with what is open and latched."""
    health_fails_when: Collection[Failing]
    """For what that answer is 503; by default it is 200 whatever is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The same, checked."""

    timeout: float | Callable[[Any], float | None] | None = None
    deadline_header: str | None = None
    deadline_as: DeadlineForm = "seconds"
    attempts_header: str | None = None
    margin: float = 0.05
    tags: Tags = field(default_factory=dict[str, "str | int"])
    tag_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    route_tag: str | None = None
    show_provider: bool = True
    problem_types: str | None = None
    health: str | None = None
    health_fails_when: Collection[Failing] = ()


def _is_function(value: object) -> bool:
    """Whether this can be called with a request; of what does not tell what it takes, that is seen with the first one."""
    # Nobody would await what such a one gives back.
    if not callable(value) or inspect.iscoroutinefunction(value):
        return False
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(object())
    except TypeError:
        return False
    return True


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONGEST_TIME


def _is_header(value: object) -> bool:
    return isinstance(value, str) and _HEADER.fullmatch(value) is not None


def _is_margin(value: object) -> bool:
    return value == 0 or _is_seconds(value)


def _are_tags(value: object) -> bool:
    return _is_function(value) if callable(value) else bool(check_tags(value)) or value == {}


def _are_headers(value: object) -> bool:
    found = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else None
    return found is not None and bool(check_tags(dict.fromkeys(found, 1))) and all(map(_is_header, found.values()))


def _is_tag(value: object) -> bool:
    return isinstance(value, str) and bool(check_tags({value: 1}))


def _is_uri(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:[!-~]{1,500}", value) is not None


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/")


def _are_failing(value: object) -> bool:
    if isinstance(value, str) or not isinstance(value, Collection):
        return False
    return all(each in get_args(Failing) for each in cast("Collection[object]", value))


_OPTIONAL = {"timeout", "deadline_header", "attempts_header", "route_tag", "problem_types", "health"}
_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "timeout": (
        lambda value: _is_function(value) or _is_seconds(value),
        "a number of seconds above 0, or a plain function that takes the request",
    ),
    "deadline_header": (_is_header, "the name of a header"),
    "deadline_as": (lambda value: value in get_args(DeadlineForm), f"one of {', '.join(get_args(DeadlineForm))}"),
    "attempts_header": (_is_header, "the name of a header"),
    "margin": (_is_margin, "a number of seconds"),
    "tags": (_are_tags, "a mapping of names to values, or a plain function that takes the request and gives one"),
    "tag_headers": (_are_headers, "a mapping of names of tags to names of headers"),
    "route_tag": (_is_tag, "the name of a tag"),
    "show_provider": (lambda value: isinstance(value, bool), "True or False"),
    "problem_types": (_is_uri, "the beginning of a URI, such as https://example.com/problems/"),
    "health": (_is_path, "a path that begins with /"),
    "health_fails_when": (_are_failing, f"a list of {', '.join(get_args(Failing))}"),
}


def settings_from(given: object, where: str, before: Mapping[str, Any] | None = None) -> Options:
    """The options that stand in the settings of a framework, in capitals.

    Arguments:
        given: what stands there.
        where: for people.
        before: options that go before them.

    Raises:
        ConfigurationError: one of them cannot be honoured, or is none.
    """
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{where} is a mapping of options, not {given!r:.60}")
    found = cast("Mapping[object, object]", given)
    return options_from({**{str(name).lower(): each for name, each in found.items()}, **(before or {})}, where)


def options_from(given: Mapping[str, Any], where: str) -> Options:
    """The options of an application.

    Arguments:
        given: by name, as the application writes them.
        where: they stand, for people.

    Raises:
        ConfigurationError: one of them cannot be honoured, or is none.
    """
    for name, value in given.items():
        if name not in _RULES:
            raise ConfigurationError(f"{where} has no option {name!r:.60}; {near(str(name), sorted(_RULES))}")
        rule, words = _RULES[name]
        if value is None and name in _OPTIONAL:
            continue
        try:
            is_good = rule(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {name}: {error}") from None
        if not is_good:
            raise ConfigurationError(f"{where}: {name} is {value!r:.60}; write {words}")
    return Options(**given)
