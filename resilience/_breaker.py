"""Calls to a provider that is down are held back: the layer that asks a breaker before each attempt and tells it after.

What answers are to it (success, failure, nothing) is the policy's table; `_breaker_state.py` decides on them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._breaker_hearing import Admission, Heard, changed
from ._breaker_key import breaker_key
from ._breaker_machine import ADMITTED, FAILURE, HALF_OPEN, ISOLATED, OPEN, PROBE, REFUSED
from ._breaker_policy import DOCUMENTED, IGNORED
from ._breaker_waits import wait_for_turn, wake
from ._deadline import is_cut_short
from ._health import ask_health, health_values
from ._library import ErrorKind
from ._modes import Mode
from ._outcome import Outcome
from ._refusal import refused
from ._trail import Refused, Wait
from ._transactions import Command
from ._units import seconds_text

if TYPE_CHECKING:
    from ._breaker_policy import BreakerPolicy
    from ._health import HealthEndpoint
    from ._outcome import Call, Exchange
    from ._reasons import RefusalReason
    from ._runtime import Runtime
    from ._transactions import Reply

__all__ = ["Admission", "ask_again", "breaker_layer", "look_ahead", "told"]

# The client's own connections are all in use, or its program failed: neither says anything of the provider.
_OWN = frozenset({ErrorKind.POOL_TIMEOUT, ErrorKind.OTHER})
_LONGEST_LEASE = 3600.0
_WHY: dict[int, tuple[RefusalReason, str, str]] = {
    OPEN: ("open", "open", ""),
    HALF_OPEN: ("half_open", "half open", ", and its probes are under way"),
    ISOLATED: ("isolated", "isolated", ", by hand"),
}


def breaker_layer(inner: Call, runtime: Runtime) -> Call:
    """Let an attempt through where the breaker does, and tell it what came of it."""

    async def breaker_call(exchange: Exchange) -> Outcome:
        policy = exchange.policy.breaker
        if policy.off:
            return await inner(exchange)
        mode = _mode(exchange)
        if mode is Mode.OFF:
            return await inner(exchange)
        try:
            if exchange.ahead is not None:
                exchange.admission = exchange.ahead.admission
            elif (stopped := await _enter(exchange, runtime, policy, mode)) is not None:
                return stopped
            outcome = await inner(exchange)
        except BaseException:
            _give_back(exchange, runtime)
            raise
        if exchange.admission is not None:
            await _leave(exchange, runtime, exchange.admission, outcome)
        return outcome

    return breaker_call


async def ask_again(exchange: Exchange, runtime: Runtime) -> Outcome | None:
    """Whether an attempt that was let through may still go, after a long wait in an inner layer.

    What it holds is renewed, or replaced by what the breaker gives now.

    Returns:
        `None` to go on; otherwise the refused outcome.
    """
    held = exchange.admission
    if held is None:
        return None
    reply = await _admit(exchange, runtime, held)
    if reply[0] == REFUSED:
        exchange.admission = None
        return _refuse(exchange, held.key, reply)
    if reply[0] == PROBE and (reply[2], reply[3]) == (held.generation, held.probe):
        return None
    return await _let_in(exchange, runtime, held.key, reply)


async def look_ahead(exchange: Exchange, runtime: Runtime) -> float:
    """Seconds until the breaker would let the next attempt through: 0 for now, infinity where only a hand opens it."""
    policy = exchange.policy.breaker
    if policy.off or _mode(exchange) is not Mode.ENFORCE:
        return 0.0
    command = Command("breaker.look", (breaker_key(exchange, policy, runtime.library),), (policy.plan.settings,))
    retry_after = (await runtime.decide(exchange.store, command))[1]
    return math.inf if retry_after < 0 else retry_after


def _mode(exchange: Exchange) -> Mode:
    return exchange.settings.modes.get("breaker", Mode.ENFORCE)


async def _enter(exchange: Exchange, runtime: Runtime, policy: BreakerPolicy, mode: Mode) -> Outcome | None:
    held = Admission(breaker_key(exchange, policy, runtime.library), policy.plan)
    reply = await _admit(exchange, runtime, held)
    if reply[0] == ADMITTED and Heard.by is None:
        exchange.admission = Admission(held.key, held.plan, int(reply[2]))
        return None
    if reply[0] == REFUSED and policy.max_wait > 0 and mode is Mode.ENFORCE:
        waited = await wait_for_turn(exchange, runtime, held.key, reply, lambda: _admit(exchange, runtime, held))
        if isinstance(waited, Outcome):
            return waited
        reply = waited
    if reply[0] == REFUSED:
        return _refuse(exchange, held.key, reply)
    return await _let_in(exchange, runtime, held.key, reply)


async def _admit(exchange: Exchange, runtime: Runtime, held: Admission) -> Reply:
    lease = _lease(exchange, exchange.policy.breaker.probe_lease)
    command = Command("breaker.admit", (held.key,), (held.plan.settings, lease, held.generation, held.probe))
    reply = await runtime.decide(exchange.store, command)
    if reply[4] != reply[5]:
        # First: whatever whoever hears of it raises, the probe gives its place back.
        exchange.admission = held._replace(generation=int(reply[2]), probe=int(reply[3]))
        changed(exchange, runtime, held, (reply[4], reply[5]))
    return reply


async def _let_in(exchange: Exchange, runtime: Runtime, key: str, reply: Reply) -> Outcome | None:
    """Remember what the attempt holds; a probe asks the health endpoint first."""
    policy = exchange.policy.breaker
    exchange.admission = admission = Admission(key, policy.plan, int(reply[2]), int(reply[3]))
    if admission.probe and policy.health is not None and _mode(exchange) is Mode.ENFORCE:
        stopped = await _check_health(exchange, runtime, policy.health, admission)
        if stopped is not None:
            return stopped
    if (by := Heard.by) is not None:
        by.before(exchange, runtime, admission)
    return None


async def _check_health(
    exchange: Exchange, runtime: Runtime, health: HealthEndpoint, admission: Admission
) -> Outcome | None:
    values = health_values(health, exchange, runtime.library)
    if values is None:
        # The call does not say what to ask about: it is the probe itself.
        return None
    began = runtime.clock.now()
    asked, verdict = await ask_health(exchange, runtime, health, values)
    said = f"the health endpoint {asked} answered {verdict.category}"
    exchange.record(Wait(runtime.clock.now() - began, "breaker", "health", said))
    # What calls ignore because it speaks of their targets, the health endpoint says of the provider.
    if FAILURE not in {admission.plan.results[verdict.category], DOCUMENTED[verdict.category]}:
        return None
    reply = await _record(exchange, runtime, admission, FAILURE, Outcome(verdict))
    exchange.admission = None
    return refused(exchange, layer="breaker", why="health", reason=said, retry_after=reply[1], key=admission.key)


def _refuse(exchange: Exchange, key: str, reply: Reply) -> Outcome | None:
    """The outcome of a call that a breaker does not let through; `None` where it only observes."""
    refusal = told(reply)
    if _mode(exchange) is Mode.OBSERVE:
        exchange.record(refusal._replace(observed=True))
        return None
    why, reason, retry_after = refusal.why, refusal.reason, refusal.retry_after
    return refused(exchange, layer="breaker", why=why, reason=reason, retry_after=retry_after, key=key)


def told(reply: Reply) -> Refused:
    """What the trail says of a call that a breaker does not let through.

    Arguments:
        reply: what the breaker said.
    """
    why, state, more = _WHY[int(reply[5])]
    reason = f"the breaker has been {state} for {seconds_text(reply[6])}{more}"
    return Refused("breaker", why, reason, None if reply[1] < 0 else reply[1])


async def _leave(exchange: Exchange, runtime: Runtime, admission: Admission, outcome: Outcome) -> None:
    """Tell the breaker what came of an attempt."""
    verdict = outcome.verdict
    result = admission.plan.results[verdict.category]
    is_own = verdict.rule is None and (verdict.error in _OWN or is_cut_short(exchange, outcome, runtime.clock.now()))
    if outcome.refusal is not None or result == IGNORED or is_own:
        _give_back(exchange, runtime)
        return
    exchange.admission = None
    failed = result == FAILURE
    if not failed and not admission.probe and Heard.by is None:
        # The way that most answers go; no answer waits for a store that is far away.
        runtime.tell(exchange.store, _command(admission, result, 0.0, 0.0))
        return
    try:
        await _record(exchange, runtime, admission, result, outcome)
    except BaseException:
        if admission.probe:
            # If the store has heard the result after all, there is nothing left to give back.
            exchange.admission = admission
            _give_back(exchange, runtime)
        raise


async def _record(exchange: Exchange, runtime: Runtime, admission: Admission, result: int, outcome: Outcome) -> Reply:
    chance, asked = runtime.clock.random() if result == FAILURE else 0.0, outcome.verdict.retry_after or 0.0
    reply = await runtime.decide(exchange.store, _command(admission, result, asked, chance))
    # As aiobreaker does it: the call is counted, then heard of, then the state changes.
    if (by := Heard.by) is not None and (outcome.response is not None or outcome.error is not None):
        by.after(exchange, runtime, admission, outcome)
    if reply[3] != reply[4]:
        changed(exchange, runtime, admission, (reply[3], reply[4]))
    if admission.probe:
        wake(exchange.store, admission.key)
    return reply


def _command(admission: Admission, result: int, retry_after: float, chance: float) -> Command:
    arguments = (admission.plan.settings, admission.generation, admission.probe, result, retry_after, chance)
    return Command("breaker.record", (admission.key,), arguments)


def _give_back(exchange: Exchange, runtime: Runtime) -> None:
    """Nothing was learnt: a probe's place is free again."""
    held, exchange.admission = exchange.admission, None
    if held is not None and held.probe:
        runtime.tell(exchange.store, Command("breaker.release", (held.key,), (held.generation, held.probe)))
        wake(exchange.store, held.key)


def _lease(exchange: Exchange, lease: float) -> float:
    """How long a probe may take: as long as the call's own timeouts let it, with room for the way to the provider."""
    timeout = exchange.options.attempt_timeout or exchange.policy.times_for(exchange.operation)[1]
    if timeout is None:
        own: dict[str, float | None] = exchange.extensions.get("timeout") or {}
        timeout = own.get("read")
    return lease if timeout is None or 2 * timeout <= lease else min(2 * timeout, _LONGEST_LEASE)
