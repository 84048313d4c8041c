"""One idempotency key for all attempts of a call, where the provider documents keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import StrictBool

from ._headers import HeaderName
from ._matchers import Texts
from ._model import Model
from ._repeatable import IDEMPOTENT
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._outcome import Call, Exchange, Outcome
    from ._runtime import Runtime

__all__ = ["Idempotency", "check_key", "idempotency_layer"]


class Idempotency(Model):
    """How the provider recognises that a request was sent before."""

    header: HeaderName
    """The header that carries the key."""
    operations: Texts | None = None
    """The operations that take keys; all of them if left out."""
    quoted: StrictBool = False
    """Whether the key is sent in quotes, as draft-ietf-httpapi-idempotency-key-header writes it."""


def idempotency_layer(inner: Call, runtime: Runtime) -> Call:
    """Give a request that needs one its key, and note what makes the request repeatable."""

    async def idempotency_call(exchange: Exchange) -> Outcome:
        policy, operation = exchange.policy, exchange.operation
        if operation is not None:
            exchange.repeatable = policy.operations[operation].repeatable
        documented = policy.idempotency
        if documented is not None and (documented.operations is None or operation in documented.operations):
            headers = exchange.request.headers
            key = exchange.options.idempotency_key
            if key is None and documented.header not in headers and exchange.request.method not in IDEMPOTENT:
                key = runtime.clock.key()
            if key is not None:
                headers[documented.header] = _quoted(key) if documented.quoted else key
            if documented.header in headers and exchange.repeatable is not False:
                exchange.repeatable = True
        return await inner(exchange)

    return idempotency_call


def check_key(exchange: Exchange) -> None:
    """Refuse a key that the provider would not understand: it would promise a safety that is not there.

    Raises:
        ConfigurationError: the call brings a key, and the policy documents none for its operation.
    """
    documented = exchange.policy.idempotency
    if exchange.options.idempotency_key is None:
        return
    if documented is None or (documented.operations is not None and exchange.operation not in documented.operations):
        where = (
            f"operation {exchange.operation!r} of {exchange.policy.provider}"
            if documented
            else exchange.policy.provider
        )
        raise ConfigurationError(f"idempotency_key was given, but {where} documents no idempotency keys; leave it out")


def _quoted(key: str) -> str:
    # RFC 9651 section 4.1.6: within a String, both signs stand behind a backslash.
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
