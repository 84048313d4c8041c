"""What must not be seen: credentials in URLs and headers, how they are hidden, and what it is that is hidden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ._hiding import HIDDEN, NOBODY, Hiding
from ._secret_names import is_secret_header, is_secret_parameter

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = [
    "HIDDEN",
    "hidden_in",
    "hidden_in_header",
    "is_secret_header",
    "is_secret_parameter",
    "safe_address",
    "safe_headers",
    "safe_path",
    "safe_query",
    "safe_url",
]

_LONGEST_URL = 4096


def safe_headers(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], policy: Policy | None = None
) -> dict[str, str]:
    """Headers without secrets: neither those that are some, nor the addresses with secrets in others."""
    hiding = Hiding(policy)
    return {
        name: HIDDEN if is_secret_header(name, policy) else hiding.header(value)
        for name, value in dict(headers).items()
    }


def safe_query(query: str, policy: Policy | None = None) -> str:
    """A query as it is sent, without secrets; names stay."""
    return Hiding(policy).query(query, 0)


def safe_path(path: str, policy: Policy | None = None) -> str:
    """A path as it is sent, without secrets."""
    return Hiding(policy).path(path, 0)


def safe_url(url: Any, policy: Policy | None = None, hidden: set[str] | None = None) -> str:
    """A URL of httpx or httpx2 without user, password, secrets and fragment, of at most 4096 characters.

    Arguments:
        url: the URL of a request.
        policy: of the provider.
        hidden: gets what was hidden of path and query, in all its forms.
    """
    host = url.raw_host.decode("ascii", "replace")
    host = f"[{host}]" if ":" in host else host
    port = f":{url.port}" if url.port is not None else ""
    user = f"{NOBODY}@" if url.userinfo else ""
    target = Hiding(policy, hidden).target(url.raw_path.decode("ascii", "replace"), 0)
    return _cut(f"{url.scheme}://{user}{host}{port}{target}")


def safe_address(text: str, policy: Policy | None = None) -> str:
    """The same of an address as somebody wrote it: a whole URL, or a path with its query."""
    return _cut(Hiding(policy).target(text, 0))


def hidden_in(address: str, policy: Policy | None) -> set[str]:
    """What is hidden where an address is shown, as it stands there and decoded.

    Arguments:
        address: path and query.
        policy: of the provider.
    """
    found: set[str] = set()
    Hiding(policy, found).target(address, 0)
    return found


def hidden_in_header(value: str, policy: Policy | None) -> set[str]:
    """The same of the value of a header that is no secret itself.

    Arguments:
        value: of the header.
        policy: of the provider.
    """
    found: set[str] = set()
    Hiding(policy, found).header(value)
    return found


def _cut(text: str) -> str:
    # Not before: what tells that something is a secret may stand behind it.
    return text if len(text) <= _LONGEST_URL else f"{text[: _LONGEST_URL - 3]}..."
