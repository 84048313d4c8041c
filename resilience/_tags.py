"""Tags that an application gives to its calls (a tenant, a job), by which budgets count apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast
from urllib.parse import quote

from ._within import Within, within
from ._words import brief
from .errors import ConfigurationError

__all__ = ["CURRENT", "Asked", "Tagged", "check_tags", "key_part", "tags", "tags_of"]

Asked = Callable[[], Mapping[str, str]]
_NONE: Mapping[str, str] = {}
_MOST = 20
_LONGEST_NAME = 32
_LONGEST_VALUE = 200
_LONGEST_IN_KEY = 120


class Tagged(Within):
    """Tags of a block, with those around it.

    Arguments:
        given: tags that are checked; or what gives them, where they are not known yet: each call within asks for them.
        around: those around the block.
    """

    __slots__ = ("_ask", "is_asked")

    def __init__(self, given: Mapping[str, str] | Asked, around: Tagged | None) -> None:
        super().__init__(around)
        self._ask: Asked = given if callable(given) else lambda: given
        self.is_asked: bool = callable(given) or (self.around is not None and self.around.is_asked)
        """Whether some of them have to be asked for."""
        if not self.is_asked:
            # Too many are told where the block begins, not by a call within.
            self.found()

    def found(self) -> Mapping[str, str]:
        """All of them, those around them too, as far as they still hold."""
        around: Tagged | None = self.around
        others = _NONE if around is None else around.found()
        return _bounded({**others, **self._ask()}) if self.holds else others


CURRENT: ContextVar[Tagged | None] = ContextVar("resilience_tags", default=None)


@contextmanager
def tags(**given: str | int) -> Generator[None]:
    """Give tags to all calls within: `with resilience.tags(tenant="acme"):`, also across `await` and into its tasks.

    Arguments:
        given: tags by name, added to those that are there already. They become part of a store's keys, of the ledger and
            of what refusals say, so they hold no secret.

    Raises:
        ConfigurationError: a value is no text of 1 to 200 characters and no whole number, a name is longer than 32
            characters, or a call within would have more than 20 tags.
    """
    with within(CURRENT, Tagged(check_tags(given), CURRENT.get())):
        yield


def tags_of(own: Mapping[str, str] | None) -> Mapping[str, str]:
    """The tags of a call: those of its context, and its own, which go before them."""
    tagged = CURRENT.get()
    around = _NONE if tagged is None else tagged.found()
    if not around:
        return own or _NONE
    return _bounded({**around, **own}) if own else around


def _bounded(found: Mapping[str, str]) -> Mapping[str, str]:
    if len(found) > _MOST:
        raise ConfigurationError(
            f"a call has {_MOST} tags at most, and these are {len(found)}: {', '.join(found)[:200]}"
        )
    return found


def check_tags(given: object) -> Mapping[str, str]:
    """The tags as texts.

    Raises:
        ConfigurationError: they cannot be honoured.
    """
    if not isinstance(given, Mapping) or len(cast("Mapping[object, object]", given)) > _MOST:
        raise ConfigurationError(f"tags are a mapping of {_MOST} names at most, not {given!r:.60}")
    found: dict[str, str] = {}
    for name, value in cast("Mapping[object, object]", given).items():
        if not isinstance(name, str) or not name.isidentifier() or len(name) > _LONGEST_NAME:
            raise ConfigurationError(
                f"{name!r:.60} is no name of a tag; write letters, digits and _, {_LONGEST_NAME} at most"
            )
        # Python refuses to write a number of very many digits.
        is_long = isinstance(value, int) and value.bit_length() > _LONGEST_VALUE
        if (
            is_long
            or not isinstance(value, str | int)
            or isinstance(value, bool)
            or not 0 < len(str(value)) <= _LONGEST_VALUE
        ):
            raise ConfigurationError(
                f"the tag {name} is {brief(value)}; it takes a text of 1 to {_LONGEST_VALUE} characters, or a whole number"
            )
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise ConfigurationError(f"the tag {name} is {value!r:.60}, which holds half a character") from None
        found[name] = str(value)
    return found


def key_part(value: str) -> str:
    """A tag's value in a key: as in a URL (`%40` for `@`), a long one as a digest behind a `~`; `-` alone is no tag."""
    quoted = "%2D" if value == "-" else quote(value, safe="").replace("~", "%7E")
    if len(quoted) <= _LONGEST_IN_KEY:
        return quoted
    return "~" + hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=8).hexdigest()
