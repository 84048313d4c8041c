"""What a provider says, without the credentials of the request, which it may quote: its words stand in trails and logs."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, unquote_plus

from ._redact import HIDDEN, is_secret_header, safe_query

if TYPE_CHECKING:
    from ._library import Request
    from ._outcome import Verdict
    from ._policy import Policy

__all__ = ["safe_text", "safe_verdict", "secrets_of"]

# What is shorter may be a word of what is said.
_SHORTEST_SECRET = 8
_MOST_SECRETS = 200
_SEPARATORS = re.compile(r"[;,]")


def secrets_of(request: Request, policy: Policy | None = None) -> list[str]:
    """The credentials that a request carries, in the forms in which an answer may quote them, the longest first.

    Arguments:
        request: as it was sent.
        policy: of the provider.
    """
    found: set[str] = set()
    for name, value in request.headers.items():
        if is_secret_header(name, policy):
            found |= {value, *_within(value)}
    url = request.url
    # The URLs of a simulation have no user.
    user = unquote(getattr(url, "userinfo", b"").decode("ascii", "replace"))
    found |= {user, *user.split(":", 1)}
    for part in url.raw_path.decode("ascii", "replace").partition("?")[2].split("&"):
        value = part.partition("=")[2]
        # Also what holds a secret somewhere within: an address that is to be fetched.
        if safe_query(part, policy) != part:
            found |= {value, unquote_plus(value)}
    found |= {quote(each, safe="") for each in found}
    return sorted((each for each in found if len(each) >= _SHORTEST_SECRET), key=len, reverse=True)[:_MOST_SECRETS]


def _within(value: str) -> Iterable[str]:
    scheme, _, rest = value.partition(" ")
    if scheme.lower() == "basic":
        # RFC 7617 section 2. What is no Base64 has nothing in it.
        try:
            user = b64decode(rest).decode("utf-8", "replace")
        except ValueError:
            user = ""
        return rest, user, user.partition(":")[2]
    return rest, *(each.partition("=")[2].strip(' "') for each in _SEPARATORS.split(value))


def safe_text(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets, as what a provider or a library says may quote one.

    Arguments:
        text: any text; one that was cut may end within a secret.
        secrets: what must not stand in it, the longest first; short ones, which might be words, are left.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
            start = text.rfind(secret[:_SHORTEST_SECRET])
            if start >= 0 and secret.startswith(text[start:]):
                text = f"{text[:start]}{HIDDEN}"
    return text


def safe_verdict(verdict: Verdict, request: Request, policy: Policy) -> Verdict:
    """A verdict whose code and message, which are the provider's own words, quote no credential of the request."""
    code, message = verdict.code, verdict.message
    if code is None and message is None:
        return verdict
    secrets = secrets_of(request, policy)
    safe_code, safe_message = (each and safe_text(each, secrets) for each in (code, message))
    if (safe_code, safe_message) == (code, message):
        return verdict
    return replace(verdict, code=safe_code, message=safe_message)
