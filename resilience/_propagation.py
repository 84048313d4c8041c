"""What a call tells the service it calls: how much time is left, and whether it may send on more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ._caller import attempts_left
from ._deadline_header import DeadlineForm, write_deadline
from ._headers import HeaderName
from ._model import Model
from ._modes import Mode

if TYPE_CHECKING:
    from ._outcome import Exchange
    from ._runtime import Runtime

__all__ = ["Propagation", "propagate"]


class DeadlineHeader(Model):
    """Where the time that is left is written."""

    header: HeaderName
    """The header."""
    as_: Annotated[DeadlineForm, Field(alias="as")] = "seconds"
    """How: `seconds` (2.500), `milliseconds`, `grpc` (2500m), or the moment itself: `epoch`, `epoch_milliseconds`, `rfc3339`."""


class AttemptsHeader(Model):
    """Where it is written how often the service may send on."""

    header: HeaderName
    """The header: 1 where this call is sent again itself, so that retries do not multiply; else what this program's own
    caller has left it, if anybody has."""


class Propagation(Model):
    """What each attempt tells the service that it calls. A header that the application sets itself stays as it is."""

    deadline: DeadlineHeader | None = None
    """How much time is left; a call without a deadline says nothing."""
    attempts: AttemptsHeader | None = None
    """How often it may send on."""

    @model_validator(mode="after")
    def _are_two(self) -> Propagation:
        headers = [each.header.lower() for each in (self.deadline, self.attempts) if each is not None]
        if len(set(headers)) < len(headers):
            raise PydanticCustomError("propagate", "one header cannot carry both; name two")
        return self


def propagate(told: Propagation, exchange: Exchange, runtime: Runtime) -> None:
    """Write the headers of the next attempt.

    Arguments:
        told: which.
        exchange: the call.
        runtime: what time it is.
    """
    deadline, attempts = told.deadline, told.attempts
    if deadline is not None and exchange.deadline is not None and _is_free(exchange, deadline.header):
        clock = runtime.clock
        left = exchange.deadline - clock.now()
        _write(exchange, deadline.header, write_deadline(left, deadline.as_, wall=clock.wall()))
    if attempts is not None and _is_free(exchange, attempts.header):
        most = _most(exchange)
        if most is not None:
            _write(exchange, attempts.header, str(most))


def _is_free(exchange: Exchange, name: str) -> bool:
    """Whether the application says nothing there itself; what an earlier attempt of this call was told is written anew."""
    return name in exchange.told_headers or name not in exchange.request.headers


def _write(exchange: Exchange, name: str, value: str) -> None:
    exchange.request.headers[name] = value
    exchange.told_headers |= {name}


def _most(exchange: Exchange) -> int | None:
    """How often whoever is called may send on."""
    most = exchange.options.max_attempts or exchange.policy.retry.max_attempts
    left = attempts_left()
    retries = exchange.settings.modes.get("retry", Mode.ENFORCE) is Mode.ENFORCE
    return 1 if retries and min(most, left or most) > 1 else left
