"""Hides credentials in addresses, forms, JSON and the words of headers, however often they stand in one another."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, unquote_plus

from ._secret_names import is_secret_header, is_secret_parameter
from ._secret_words import BLANKS, credentials_in, names_in, strings_in, words_after

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = ["HIDDEN", "NOBODY", "Hiding"]

HIDDEN = "REDACTED"
"""In place of a secret, as the HTTP semantic conventions of OpenTelemetry write it."""
NOBODY = f"{HIDDEN}:{HIDDEN}"
"""In place of user and password."""
# RFC 3986 section 3.2.1, also where the scheme is left out (section 4.2).
_USERINFO = re.compile(r"//([^/?#]*)@")
# The same where the slashes are left out as well, as in the addresses of proxies; what else has a colon before an @ is
# an address of a person.
_USER = re.compile(r"(?<!\S)(?!(?:acct|im|mailto|sips?|xmpp):)([^\s/?#@:]{1,256}:[^\s/?#]*)@", re.IGNORECASE)
_HARMLESS = re.compile(r"[\w.,~*/-]*")
# No header without one of these holds an address, a form, JSON or the words of another header.
_TELLING = re.compile(r"[@=:{%]|earer|asic", re.IGNORECASE)
# Addresses in parameters of addresses: providers that fetch pages take them.
_DEEPEST = 4
# What is written down; nobody has as many keys.
_MOST = 1000


def _is_like_json(text: str) -> bool:
    return text.lstrip(BLANKS).startswith(("{", "[", '"'))


class Hiding:
    """Hides what is secret by its name, and writes down what that was where somebody wants to know.

    Arguments:
        policy: of the provider, whose `account` names places too.
        found: gets what was hidden, as it stood there and decoded.
    """

    __slots__ = ("_found", "_policy")

    def __init__(self, policy: Policy | None, found: set[str] | None = None) -> None:
        self._policy = policy
        self._found = found

    def target(self, text: str, depth: int) -> str:
        """An address, or what of it follows the host."""
        if _HARMLESS.fullmatch(text):
            return text
        text, hash_sign, fragment = text.partition("#")
        path, mark, query = text.partition("?")
        return f"{self.path(path, depth)}{mark}{self.query(query, depth)}{hash_sign}{self.query(fragment, depth)}"

    def path(self, path: str, depth: int) -> str:
        """Segments, each with its parameters."""
        if "@" in path:
            path = _USERINFO.sub(self._nobody, path)
        # What was decoded and has no slash is no path, but any text.
        is_text = depth > 0 and "/" not in path
        if is_text or ";" in path or "%" in path or "=" in path or "@" in path or "{" in path or '"' in path:
            path = "/".join([self._segment(each, depth, is_text=is_text) for each in path.split("/")])
        return path

    def query(self, query: str, depth: int) -> str:
        """What `&` separates."""
        if _HARMLESS.fullmatch(query):
            return query
        return "&".join([(self._parts if ";" in each else self._part)(each, depth) for each in query.split("&")])

    def header(self, value: str) -> str:
        """The value of a header that is no secret itself; several of one name are joined by commas."""
        if not _TELLING.search(value):
            return value
        if self._tells(value, 0):
            return HIDDEN
        return ", ".join(self.target(each, 0) for each in value.split(", "))

    def _segment(self, segment: str, depth: int, *, is_text: bool) -> str:
        # Parameters may stand in a path (RFC 3986 section 3.3): `/things;jsessionid=...`.
        name, *parameters = segment.split(";")
        safe = self._value(name, depth, is_text=is_text)
        return ";".join((safe, *(self._part(each, depth) for each in parameters))) if parameters else safe

    def _parts(self, text: str, depth: int) -> str:
        """What stands between two `&` and has a semicolon, which to some servers separates as well."""
        name, _, rest = text.partition("=")
        if rest and is_secret_parameter(name, self._policy):
            # To others a semicolon is part of the secret.
            return self._part(text, depth)
        if self._tells(unquote(rest), depth):
            return f"{name}={HIDDEN}"
        found: list[str] = []
        is_hidden = False
        for each in text.split(";"):
            if is_hidden and "=" not in each:
                self._hide(each)
                continue
            found.append(self._part(each, depth))
            is_hidden = found[-1] != each
        return ";".join(found)

    def _part(self, text: str, depth: int) -> str:
        name, equals, value = text.partition("=")
        if not equals:
            name, value = "", text
        elif is_secret_parameter(name, self._policy) or ("proxy" in name.lower() and "@" in unquote(value)):
            return f"{name}={self._hide(value)}"
        if _HARMLESS.fullmatch(value):
            return text
        return f"{name}{equals}{self._value(value, depth, is_text=True)}"

    def _value(self, value: str, depth: int, *, is_text: bool) -> str:
        """A value that is not secret by its name, without what is secret in it: it may be an address, a form or JSON.

        Arguments:
            value: as it is sent.
            depth: how often what it stands in was decoded.
            is_text: whether it may be text as well, and is no segment of a path.
        """
        if _HARMLESS.fullmatch(value):
            return value
        written = value
        if "@" in value:
            # Before anything is decoded: a password may hold a slash that is not.
            value = _USER.sub(self._nobody_at_all, _USERINFO.sub(self._nobody, value))
        plain = unquote(value)
        if (is_text or _is_like_json(plain)) and self._tells(plain, depth, is_hidden=value != written):
            return HIDDEN
        if plain == value and "=" not in value:
            return value
        if depth >= _DEEPEST:
            return value if plain == value else self._hide(value)
        is_form = "=" in plain and "?" not in plain and "//" not in plain
        safe = (self.query if is_form else self.target)(plain, depth + 1)
        # What holds no secret stays as it was written.
        return value if safe == plain else safe if plain == value else quote(safe, safe="")

    def _tells(self, text: str, depth: int, *, is_hidden: bool = False) -> bool:
        """Whether a text says a credential: as JSON, or in its words (`X-Api-Key: ...`, `Bearer ...`).

        Arguments:
            text: decoded.
            depth: how often.
            is_hidden: whether something of it was hidden already; nothing of such JSON is shown.
        """
        is_secret = _is_like_json(text) and (is_hidden or self._is_document(text, depth))
        for name, at in names_in(text):
            if self._names(name):
                is_secret = True
                self._take_all(() if self._found is None else words_after(text, at))
        for words in credentials_in(text):
            is_secret = True
            self._take_all(words)
        return is_secret

    def _is_document(self, text: str, depth: int) -> bool:
        names, strings, told = strings_in(text.strip(BLANKS))
        is_secret = any(self._names(each) for each in names)
        if depth < _DEEPEST:
            # All of them are looked at: what is hidden in each is written down.
            safe = [self._value(each, depth + 1, is_text=True) for each in strings]
            is_secret = is_secret or safe != strings
        if is_secret:
            self._take_all(told)
        return is_secret

    def _names(self, name: str) -> bool:
        return is_secret_parameter(name, self._policy) or is_secret_header(name, self._policy)

    def _nobody(self, match: re.Match[str]) -> str:
        return f"//{self._nobody_at_all(match)}"

    def _nobody_at_all(self, match: re.Match[str]) -> str:
        self._take_all((match[1], *match[1].split(":", 1)))
        return f"{NOBODY}@"

    def _hide(self, value: str) -> str:
        self._take(value)
        return HIDDEN

    def _take_all(self, values: Iterable[str]) -> None:
        for each in values:
            self._take(each)

    def _take(self, value: str) -> None:
        """Write a secret down, as it stands there and decoded."""
        if self._found is None or len(self._found) > _MOST or value in {HIDDEN, NOBODY}:
            return
        for _ in range(_DEEPEST + 1):
            self._found |= {value, unquote_plus(value)}
            value, before = unquote(value), value
            if value == before:
                break
