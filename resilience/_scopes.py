"""What a limit or a breaker counts apart: accounts, operations, hosts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from ._library import Request
    from ._options import CallOptions
    from ._outcome import Exchange
    from ._policy import Account, Policy

__all__ = ["Scope", "Scopes", "account_of", "key_of", "operation_of"]

Scope = Literal["account", "operation", "host", "provider"]
"""What is counted apart. `provider`: nothing, all calls together."""


def _once(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    if len(set(scopes)) < len(scopes) or ("provider" in scopes and len(scopes) > 1):
        raise PydanticCustomError("scopes", "each scope stands once, and 'provider' stands alone")
    return scopes


Scopes = Annotated[
    tuple[Scope, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    AfterValidator(_once),
]
"""One scope, or several that are counted apart together: `[account, operation]`."""

# A host that a stranger's policy or a wildcard lets in becomes part of a key.
_LONGEST_HOST = 100


def account_of(account: Account | None, request: Request) -> str:
    """Whose key a request carries, as a digest from which the key cannot be read; `-` for none.

    Arguments:
        account: where the policy says that the key is.
        request: the request, with its headers as they will be sent.
    """
    if account is None:
        return "-"
    for name in account.headers or ():
        if found := request.headers.get(name):
            return _digest(found)
    credential = None
    if account.query:
        given = dict(parse_qsl(request.url.raw_path.partition(b"?")[2].decode("ascii", "replace")))
        credential = next((found for name in account.query if (found := given.get(name))), None)
    return "-" if credential is None else _digest(credential)


def _digest(credential: str) -> str:
    # The same on every machine that shares a store, and not to be turned back: keys are too long to be guessed.
    return hashlib.blake2b(credential.encode(), digest_size=8, person=b"resilience").hexdigest()


def key_of(exchange: Exchange, kind: str, name: str, scopes: tuple[Scope, ...]) -> str:
    """The key of a state: the provider in braces (so that a Redis cluster keeps its states together), kind, name, scopes.

    Arguments:
        exchange: the call.
        kind: `bucket`, `permits`, `breaker` or `budget`.
        name: of the limit, with whatever its numbers change with: other numbers are another state.
        scopes: what is counted apart.
    """
    parts = [f"{{{exchange.policy.provider}}}", kind, name]
    for scope in scopes:
        if scope == "account":
            parts.append(exchange.account)
        elif scope == "operation":
            parts.append(exchange.operation or "-")
        elif scope == "host":
            url = exchange.request.url
            port = f":{url.port}" if url.port else ""
            parts.append(url.raw_host.decode("ascii", "replace")[:_LONGEST_HOST] + port)
    return ":".join(parts)


def operation_of(policy: Policy, request: Request, options: CallOptions) -> str | None:
    """The operation of a request: what its options name, else what its method and path lead to."""
    if options.operation is None:
        # The path as it is sent: an encoded slash is no slash.
        return policy.operation_finder.find(request.method, request.url.raw_path.partition(b"?")[0].decode("ascii"))
    return policy.operation_named(options.operation)
