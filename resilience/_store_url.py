"""The URL of a store: completed from the environment, checked without connecting, never shown with its password."""

from __future__ import annotations

import difflib
import os
import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

from ._finding import ALIKE
from ._redact import HIDDEN, is_secret_parameter
from .errors import ConfigurationError

__all__ = ["VARIABLE", "check_store_url", "completed", "masked", "without_credentials", "words_without"]

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
"""A variable of the environment, as a store names it: `${NAME}`."""
_KINDS = ("", "+unix", "+cluster", "+sentinel")
_SERVERS = tuple(name + kind for name in ("redis", "rediss", "valkey", "valkeys") for kind in _KINDS)
_SCHEMES = ("memory", "sqlite", *_SERVERS)
_EXAMPLES = "write memory://, sqlite:///path or redis://host:6379"


def completed(text: str) -> str:
    """The URL with its environment variables, so that no password need stand in a file.

    What stands for a user or a password is taken as it is, whatever signs it has.

    Raises:
        ConfigurationError: a variable is not set.
    """
    missing = [name for name in VARIABLE.findall(text) if name not in os.environ]
    if missing:
        raise ConfigurationError(f"the environment has no variable {missing[0]}; set it, or write the URL")
    scheme, slashes, rest = text.partition("://")
    credentials, at, place = rest.rpartition("@")
    escaped = VARIABLE.sub(lambda match: quote(os.environ[match[1]], safe=""), credentials)
    return _filled(scheme) + slashes + escaped + at + _filled(place)


def _filled(text: str) -> str:
    return VARIABLE.sub(lambda match: os.environ[match[1]], text)


def check_store_url(url: str) -> None:
    """Refuse what cannot be the URL of a store, without connecting to it.

    Arguments:
        url: with its environment variables filled in.

    Raises:
        ConfigurationError: it is none; the message shows nothing that may be a password.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _SCHEMES:
        near = difflib.get_close_matches(scheme, _SCHEMES, n=1, cutoff=ALIKE) if found and len(scheme) <= 20 else []
        hint = f"did you mean {near[0]}://?" if near else _EXAMPLES
        raise ConfigurationError(f"this is not the URL of a store; {hint}")
    try:
        parts = urlsplit(url)
        fault = _fault(scheme, parts, rest)
    except ValueError:
        fault = "its host or port cannot be read"
    if fault:
        raise ConfigurationError(f"{fault}; {_EXAMPLES}")


def _fault(scheme: str, parts: SplitResult, rest: str) -> str:
    """What is wrong with a URL of a known scheme; nothing if all is well."""
    if scheme == "memory":
        return "memory:// takes nothing behind it" if rest else ""
    if scheme == "sqlite" or scheme.endswith("+unix"):
        if scheme == "sqlite" and parts.netloc:
            return "sqlite:// takes no host: a path follows a third slash"
        if scheme == "sqlite" and set("?#") & set(rest):
            return "sqlite:// takes the path of a file and nothing behind it"
        return f"{scheme}:// needs the path of a file" if parts.path.strip("/") in {"", ":memory:"} else ""
    return _server_fault(scheme, parts)


def _server_fault(scheme: str, parts: SplitResult) -> str:
    if "@" in parts.path + parts.query + parts.fragment or parts.fragment:
        return "a sign of its user or password is none of a URL: write / as %2F, # as %23, ? as %3F, @ as %40"
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if not all(urlsplit(f"//{host}").hostname for host in hosts):
        return f"{scheme}:// needs a host"
    if any(urlsplit(f"//{host}").port == 0 for host in hosts):
        return "its host or port cannot be read"
    if scheme.endswith("+sentinel") and not parts.path.strip("/"):
        return f"{scheme}:// needs the name of the service as its path"
    return ""


def without_credentials(url: str) -> str:
    """The URL as people may see it: without user and password, and without what its query may hold of them."""
    scheme, found, rest = url.partition("://")
    if not found:
        return "a URL"
    head, _, query = rest.partition("?")
    name, equals, _ = query.partition("@")[0].rpartition("&")[2].partition("=")
    if "@" in query and "@" not in head and equals and is_secret_parameter(name):
        # The at-sign is one of its query, which holds a password; else the question mark is one of a password before it.
        rest = head
    authority, slash, path = rest.partition("/")
    # A password may hold a slash or a question mark that nobody has escaped: it ends at the last at-sign.
    if "@" in rest:
        authority, slash, path = rest.rpartition("@")[2].partition("/")
    return f"{scheme}://{authority.partition('?')[0]}{slash}{path.partition('?')[0]}"


def masked(text: str) -> str:
    """A store as somebody wrote it, with `${NAME}` and without user, password and query."""
    scheme, found, rest = text.partition("://")
    if not found:
        # It may be anything, a password too.
        return text if VARIABLE.fullmatch(text) else HIDDEN
    shown = without_credentials(text)
    if shown == text:
        return text
    shown = shown.removeprefix(f"{scheme}://")
    user = f"{HIDDEN}@" if "@" in rest and not rest.startswith(shown) else ""
    return f"{scheme}://{user}{shown}{f'?{HIDDEN}' if '?' in rest.rpartition('@')[2] else ''}"


def words_without(words: str, url: str) -> str:
    """What somebody says of a store, without anything of its URL that only its owner may see.

    Arguments:
        words: of a library, or of the server.
        url: with its password.
    """
    rest = url.partition("://")[2]
    credentials, query = rest.rpartition("@")[0], rest.partition("?")[2]
    values = [part.partition("=")[2] for part in query.split("&") if is_secret_parameter(part.partition("=")[0])]
    for secret in (credentials, credentials.partition(":")[2], query, *values):
        for form in filter(None, (secret, unquote(secret))):
            words = words.replace(form, HIDDEN)
    return words
