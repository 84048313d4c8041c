"""A provider's documented health endpoint: what the breaker asks before it lets a probe through.

The request goes out beside the call's own: to the same host, with the headers that carry the account's key, through the
client's own transport, within the time that an attempt may take. The policy's rules say what the answer means. It is no
attempt of the call: it pays no limit and costs no retry, and the trail tells of it as a wait.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote, urlencode, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from ._conditions import BodyPath
from ._headers import HeaderName
from ._model import Model
from ._operations import PathTemplate
from ._paths import compile_path
from ._redact import safe_path
from ._request_parts import document_of, path_of, path_values, query_of

if TYPE_CHECKING:
    from ._library import Library
    from ._outcome import Exchange, Verdict
    from ._runtime import Runtime

__all__ = ["HealthEndpoint", "HealthVariable", "ask_health", "health_values"]

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
_LONGEST_VALUE = 253  # of a host name, RFC 1035 section 2.3.4
# Where neither the call nor the policy bounds an attempt.
_SECONDS = 10.0
# What the transport needs beside the key to reach the same server in the same way.
_HEADERS = ("host", "user-agent")
_EXTENSIONS = ("timeout", "sni_hostname")


class HealthVariable(Model):
    """Where a call says what stands in the path of the health endpoint."""

    header: HeaderName | None = None
    """A header of the call. Exactly one of `header`, `query`, `body` and `path`."""
    query: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """A parameter of its query."""
    body: BodyPath | None = None
    """A field of its JSON body."""
    path: _Name | None = None
    """A part of its path, by the name that it has in the operation's template."""
    part: Literal["all", "host"] = "all"
    """What of the value: all of it, or the host of a URL."""

    @model_validator(mode="after")
    def _is_one_place(self) -> HealthVariable:
        if sum(place is not None for place in (self.header, self.query, self.body, self.path)) != 1:
            raise PydanticCustomError("health", "a value stands in exactly one of 'header', 'query', 'body' and 'path'")
        return self


def _whole(text: str) -> str:
    if "...}" in text:
        raise PydanticCustomError("health", "the path of a health endpoint has no '...': each part is one value")
    return text


_Variables = Annotated[
    tuple[HealthVariable, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, dict) else value),
    Field(min_length=1, max_length=10),
]


class HealthEndpoint(Model):
    """The endpoint of the provider that tells whether it is up. A rule for its answers names its operation."""

    method: Literal["GET", "HEAD"] = "GET"
    """How it is asked."""
    path: Annotated[PathTemplate, AfterValidator(_whole)]
    """Where it is, on the host of the call: `/network/health/{domain}`."""
    variables: dict[_Name, _Variables] = {}
    """Where the parts in braces come from, in order of precedence; by default from the part of that name in the call's own
    path. A call that does not say them is a probe without it."""
    apart: StrictBool = False
    """Have a breaker for each of the values (each domain): what one of them suffers does not hold the others back."""
    doc: str | None = None
    """The page, by its name in `docs`."""

    @model_validator(mode="after")
    def _names_agree(self) -> HealthEndpoint:
        for name in self.variables:
            if name not in self.names:
                raise PydanticCustomError("health", "there is no {name} in the path", {"name": f"{{{name}}}"})
        if self.apart and not self.names:
            raise PydanticCustomError("health", "'apart' needs a part in braces in the path, as {example}",
                                      {"example": "/health/{domain}"})  # fmt: skip
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that vary."""
        return tuple(segment[1:-1] for segment in self.path.split("/") if segment.startswith("{"))


def health_values(health: HealthEndpoint, exchange: Exchange, library: Library) -> tuple[str, ...] | None:
    """The values of the path's parts for a call, in their order; `None` if it does not say one of them.

    Arguments:
        health: the endpoint.
        exchange: the call.
        library: which knows a body that can be read again.
    """
    found: list[str] = []
    for name in health.names:
        places = health.variables.get(name) or (HealthVariable(path=name),)
        value = next((value for place in places if (value := _value(place, exchange, library)) is not None), None)
        if value is None:
            return None
        found.append(value)
    return tuple(found)


def _value(place: HealthVariable, exchange: Exchange, library: Library) -> str | None:
    request = exchange.request
    value: object = None
    if place.header is not None:
        value = request.headers.get(place.header)
    elif place.query is not None:
        value = query_of(request).get(place.query)
    elif place.body is not None:
        value = compile_path(place.body).search(document_of(request, library))
    else:
        operation = exchange.policy.operations.get(exchange.operation or "")
        value = path_values(operation.path if operation else (), path_of(request)).get(place.path or "")
    if isinstance(value, str) and place.part == "host":
        try:
            value = urlsplit(value if "//" in value else f"//{value}").hostname
        except ValueError:
            return None
    # What could lead to another path, or is no name of anything, is not asked about.
    usable = isinstance(value, str) and 0 < len(value) <= _LONGEST_VALUE and value.isprintable()
    return value if isinstance(value, str) and usable and value not in {".", ".."} else None


async def ask_health(
    exchange: Exchange, runtime: Runtime, health: HealthEndpoint, values: tuple[str, ...]
) -> tuple[str, Verdict]:
    """Ask the endpoint: what was asked, for people, and what the answer means by the policy.

    Arguments:
        exchange: the call that may become a probe.
        runtime: where sending happens.
        health: the endpoint.
        values: of the path's parts.
    """
    from ._attempt import attempt_layer
    from ._body import set_aside
    from ._outcome import Exchange
    from ._trail import Trail

    given = iter(values)
    path = "/".join(
        quote(next(given), safe="") if segment.startswith("{") else segment for segment in health.path.split("/")
    )
    policy, call = exchange.policy, exchange.request
    account = policy.account
    names = (*_HEADERS, *((account.headers or ()) if account else ()))
    headers = {name: value for name in names if (value := call.headers.get(name)) is not None}
    own = query_of(call) if account and account.query else {}
    query = urlencode({name: own[name] for name in (account.query or () if account else ()) if name in own})
    raw_path = f"{path}?{query}" if query else path
    request = runtime.library.request(call, health.method, raw_path.encode("ascii", "replace"), headers)
    request.extensions = {name: exchange.extensions[name] for name in _EXTENSIONS if name in exchange.extensions}
    operation = policy.operation_finder.find(health.method, path)
    seconds = exchange.options.attempt_timeout or policy.times_for(operation)[1] or _SECONDS
    asked = Exchange(
        request,
        policy,
        operation,
        replace(exchange.options, attempt_timeout=seconds),
        Trail(policy.provider, operation),
        exchange.closing,
        exchange.store,
        exchange.settings,
        extensions=request.extensions,
        started=runtime.clock.now(),
        deadline=exchange.deadline,
        # It is a wait of the call's, and told as that.
        is_untold=True,
    )
    outcome = await attempt_layer(runtime)(asked)
    outcome.forget_error()
    if outcome.response is not None:
        await set_aside(runtime, asked, outcome.response)
    return f"{health.method} {safe_path(path)}", outcome.verdict
