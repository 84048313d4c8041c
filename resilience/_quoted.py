"""What a provider says, without the credentials of the request, which it may quote: its words stand in trails and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from ._bounded import Bounded
from ._fields import fields_of, texts_of
from ._redact import HIDDEN, hidden_in, hidden_in_header, is_secret_header, safe_url
from ._secret_runs import runs_of, whole_runs_of, without
from ._secret_words import user_of

if TYPE_CHECKING:
    from ._fields import Field
    from ._library import Request
    from ._outcome import Verdict
    from ._policy import Policy

__all__ = ["SHORTEST_SECRET", "may_show", "safe_beside", "safe_text", "safe_verdict", "secrets_of", "shown_url"]

SHORTEST_SECRET = 8
"""What is shorter may be a word of what is said."""
_MOST_SECRETS = 200
# Signs of a secret whose forms are worth keeping.
_MOST_KEPT = 512
# Requests, and signs of all headers of one, of which it is worth keeping what the headers tell.
_MOST_REQUESTS = 64
_LONGEST_HEADERS = 4096
_SEPARATORS = re.compile(r"[;,]")
# RFC 3986 section 2.3: what is never encoded.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*")
# Section 2.2: what some encode and some do not.
_RESERVED = "!$&'()*+,/:;=?@[]"


class Carrier(Protocol):
    """Whatever has headers."""

    @property
    def headers(self) -> Any: ...


def secrets_of(request: Request, policy: Policy | None = None) -> tuple[str, ...]:
    """The credentials that a request carries, in the forms in which an answer may quote them, the longest first.

    Arguments:
        request: as it was sent.
        policy: of the provider.
    """
    in_headers = _in_headers(request, policy)
    # What hides them where they are shown knows where they are.
    found = hidden_in(_target(request), policy)
    # The URLs of a simulation have no user.
    if userinfo := getattr(request.url, "userinfo", b""):
        user = unquote(userinfo.decode("ascii", "replace"))
        found |= {user, *user.split(":", 1)}
    return _longest_first(_forms(found).union(in_headers)) if found else in_headers


def _in_headers(request: Request, policy: Policy | None) -> tuple[str, ...]:
    """The credentials in the headers of a request; the calls of one client carry the same, most of the time."""
    own: dict[str, Any] = {} if policy is None else vars(policy)
    told: Bounded[tuple[Field, ...], tuple[str, ...]]
    told = own.get("_told") or own.setdefault("_told", Bounded(_MOST_REQUESTS))
    fields = tuple(fields_of(request.headers))
    forms = told.kept.get(fields)
    if forms is None:
        found: set[str] = set()
        for name, value in texts_of(request.headers).items():
            is_secret = is_secret_header(name, policy)
            found |= {value, *_within(value)} if is_secret else hidden_in_header(value, policy)
        forms = _longest_first(_forms(found))
        values = b"".join([value for _, _, value in fields])
        # Which other text it is depends on the encoding that the caller has set.
        if values.isascii() and len(values) <= _LONGEST_HEADERS:
            told.keep(fields, forms)
    return forms


def _target(request: Request) -> str:
    target: str = request.url.raw_path.decode("ascii", "replace")
    return target


def _forms(found: Iterable[str]) -> set[str]:
    """As answers write them: as they are, encoded as a part of an address or of a form, or within HTML."""
    long = {each for each in found if len(each) >= SHORTEST_SECRET}
    return {form for each in long for form in (_kept_forms if len(each) <= _MOST_KEPT else _encoded)(each)}


def _longest_first(forms: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(forms, key=len, reverse=True)[:_MOST_SECRETS])


def _encoded(secret: str) -> tuple[str, ...]:
    if _PLAIN.fullmatch(secret):
        return (secret,)
    return (secret, *(quote(secret, safe=safe) for safe in ("", "/", _RESERVED)), quote_plus(secret), escape(secret))


# The calls of one client carry the same.
_kept_forms = lru_cache(256)(_encoded)


def _within(value: str) -> Iterable[str]:
    if _PLAIN.fullmatch(value):
        return ()
    scheme, _, rest = value.strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "basic":
        user = user_of(rest)
        return rest, user, user.partition(":")[2]
    if "=" not in value:
        return (rest,)
    parts = [each.partition("=")[2].strip(' "') for each in _SEPARATORS.split(value)]
    return rest, *parts, *map(unquote_plus, parts)


def shown_url(request: Request, policy: Policy, plain: str | None) -> str:
    """The URL of a request without secrets, neither by their names nor those that its headers carry as well.

    Arguments:
        request: as it is sent.
        policy: of the provider.
        plain: the URL, if it has no query and nothing else that could be one.
    """
    found: set[str] = set()
    shown = safe_url(request.url, policy, found) if plain is None else plain
    # Hosts are shown elsewhere, and a user may be named after one.
    return safe_beside(shown, request, policy, found, shown.find("/", shown.find("://") + 3))


def safe_beside(shown: str, request: Carrier, policy: Policy, secrets: Iterable[str] = (), place: int = 0) -> str:
    """An address without what the headers of its request carry as a credential.

    Arguments:
        shown: the address, without what is secret in it by its name.
        request: with the headers.
        policy: of the provider.
        secrets: others that must not stand in it.
        place: where its path begins.
    """
    found = {*secrets}
    if may_show(shown, request, policy):
        for name, value in texts_of(request.headers).items():
            if is_secret_header(name, policy):
                found |= {value, *_within(value)}
    if not found:
        return shown
    runs = [run for run in whole_runs_of(shown, _forms(found)) if run[0] >= place]
    return without(shown, runs, HIDDEN) if runs else shown


def may_show(shown: str, request: Carrier, policy: Policy) -> bool:
    """Whether a URL may show a credential of a header; mostly it is told by a glance that it does not.

    Arguments:
        shown: the URL.
        request: with the headers.
        policy: of the provider.
    """
    # What is written otherwise in a URL is not found by looking for it.
    is_encoded = "%" in shown or "+" in shown or "&" in shown
    for name, value in request.headers.items():
        if is_secret_header(name, policy):
            for each in (value, *_within(value)):
                if len(each) >= SHORTEST_SECRET and (each in shown or (is_encoded and not _PLAIN.fullmatch(each))):
                    return True
    return False


def safe_text(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets, as what a provider or a library says may quote one, also cut short or masked.

    Arguments:
        text: any text; one that was cut may end within a secret.
        secrets: what must not stand in it; short ones, which might be words, are left.
    """
    runs = runs_of(text, [each for each in secrets if len(each) >= SHORTEST_SECRET])
    return without(text, runs, HIDDEN) if runs else text


def safe_verdict(verdict: Verdict, request: Request, policy: Policy) -> Verdict:
    """A verdict whose code and message, which are the provider's own words, quote no credential of the request."""
    code, message = verdict.code, verdict.message
    if code is None and message is None:
        return verdict
    secrets = secrets_of(request, policy)
    # One look for both: mostly neither quotes anything.
    if not runs_of(f"{code or ''}\n{message or ''}", secrets):
        return verdict
    safe_code, safe_message = (each and safe_text(each, secrets) for each in (code, message))
    return replace(verdict, code=safe_code, message=safe_message)
