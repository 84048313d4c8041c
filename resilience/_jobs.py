"""Jobs of the provider's that are paid for when they end: the reservation of the call that began one lives on until then.

Whoever asks about the job may be another process: where the reservation stands is noted in the store, as numbers.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ._amounts import from_millionths, millionths
from ._credits_state import JOB_SECONDS
from ._trail import Charged
from ._transactions import Command

if TYPE_CHECKING:
    from ._outcome import Exchange
    from ._reservation import Reservation
    from ._runtime import Runtime

__all__ = ["Noted", "begin", "finish", "keep", "recall"]

# Six bytes fit into every number exactly.
_BYTES = 6
_MOST_BYTES = 64 * 1024


class Noted(NamedTuple):
    """What was noted of a job."""

    id: str
    """As the provider calls it."""
    name: str
    """Of its reservation."""
    page: str
    keys: tuple[str, ...]
    charges: tuple[tuple[bool, float, float], ...]
    """For each budget: whether it counts requests, its window and for how long it is needed, in seconds."""
    row: list[Any]
    """For the ledger; its sixth is what was reserved, in millionths."""
    unit: str


def begin(exchange: Exchange, runtime: Runtime, reservation: Reservation, job: str) -> None:
    """Keep a reservation for a job that its answer has begun.

    Arguments:
        exchange: the call.
        runtime: how the store is told.
        reservation: of the call.
        job: the provider's name for the job.
    """
    costs, guard = exchange.policy.credits, reservation.guard
    if costs is None or guard is None:
        return
    if reservation.elsewhere:
        # The store that is away knows of no reservation that could go on.
        reservation.settle(reservation.worst, "job", word=1)
        return
    lease = next((each.lease for each in costs.jobs if exchange.operation in each.submit), 3600.0)
    key, name = _key(exchange, job), _name(exchange, job)
    noted: dict[str, Any] = {
        "page": reservation.page,
        "keys": reservation.budget_keys,
        "charges": [
            [use.counts_requests, spec[2], spec[3]]
            for use, spec in zip(guard.uses, reservation.command.arguments[6:], strict=True)
        ],
        "row": [*reservation.row, "job"],
        "unit": guard.unit,
    }
    reservation.become_job(name, lease)
    # A job whose lease has ended counts as paid for; when its end is told after all, that is corrected.
    arguments = (lease + JOB_SECONDS, *_packed(json.dumps(noted, ensure_ascii=False)))
    runtime.tell(exchange.store, Command("notes.keep", (key,), arguments))


def keep(exchange: Exchange, runtime: Runtime, job: Noted) -> None:
    """Keep the reservation of a job that was asked about and has not ended: its lease begins anew.

    Arguments:
        exchange: the call that asked about it.
        runtime: how the store is told.
        job: what was noted.
    """
    costs = exchange.policy.credits
    lease = next((each.lease for each in costs.jobs if exchange.operation in each.poll), 3600.0) if costs else 3600.0
    runtime.tell(exchange.store, Command("credits.renew", job.keys, (job.name, job.name, lease)))


async def recall(exchange: Exchange, runtime: Runtime, named: str | None = None) -> Noted | None:
    """What was noted of the job that a call asks about; `None` if it asks about none.

    Arguments:
        exchange: the call.
        runtime: how the store is asked.
        named: the job, where the answer named it; by default the one in the path.
    """
    job = _asked(exchange) if named is None else named
    if job is None:
        return None
    numbers = await runtime.decide(exchange.store, Command("notes.recall", (_key(exchange, job),)))
    return _noted(exchange, job, _unpacked(numbers)) if numbers else None


def finish(exchange: Exchange, runtime: Runtime, job: Noted, charged: Decimal | None) -> None:
    """Settle a job that has ended, once.

    Arguments:
        exchange: the call that asked about it.
        runtime: how the store is told.
        job: what was noted.
        charged: what it has cost; `None` for what was reserved.
    """
    reserved = int(job.row[5])
    amount = reserved if charged is None else millionths(charged)
    # Two calls may have begun it, and each was a request.
    charges = [[-1 if requests else amount, window, seconds] for requests, window, seconds in job.charges]
    row = job.row if exchange.settings.ledger else 0
    runtime.tell(exchange.store, Command("credits.settle", (job.page, *job.keys), (job.name, 0, 0, 0, row, *charges)))
    runtime.tell(exchange.store, Command("notes.keep", (_key(exchange, job.id),), (0.0,)))
    exchange.record(Charged(from_millionths(amount), job.unit, from_millionths(reserved), "job"))


def _asked(exchange: Exchange) -> str | None:
    """The job that the path of a call names."""
    from ._request_parts import path_of, path_values

    costs, operation = exchange.policy.credits, exchange.policy.operations.get(exchange.operation or "")
    if costs is None or operation is None or not any(exchange.operation in job.poll for job in costs.jobs):
        return None
    return next(reversed(list(path_values(operation.path, path_of(exchange.request)).values())), None)


def _digest(exchange: Exchange, job: str) -> str:
    text = f"{exchange.account} {job}".encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=10).hexdigest()


def _key(exchange: Exchange, job: str) -> str:
    return f"{{{exchange.policy.provider}}}:job:{_digest(exchange, job)}"


def _name(exchange: Exchange, job: str) -> str:
    return f"job.{_digest(exchange, job)}"


def _packed(text: str) -> list[int]:
    data = text.encode()
    return [len(data), *(int.from_bytes(data[at : at + _BYTES], "big") for at in range(0, len(data), _BYTES))]


def _unpacked(numbers: list[float]) -> str:
    size = int(numbers[0]) if 0 <= numbers[0] <= _MOST_BYTES else -1
    if size < 0 or len(numbers) != 1 + -(-size // _BYTES):
        return ""
    data = bytearray()
    for number in numbers[1:]:
        left = min(_BYTES, size - len(data))
        if not 0 <= number < 256**left:
            return ""
        data += int(number).to_bytes(left, "big")
    return data.decode("utf-8", "replace")


def _noted(exchange: Exchange, job: str, text: str) -> Noted | None:
    # A shared store may hold anything.
    try:
        found = cast("dict[str, Any]", json.loads(text))
        charges = tuple((bool(each[0]), float(each[1]), float(each[2])) for each in found["charges"])
        keys = tuple(str(key) for key in found["keys"])
        row = list(found["row"])
        page, unit = str(found["page"]), str(found["unit"])
        int(row[5])
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        return None
    return Noted(job, _name(exchange, job), page, keys, charges, row, unit) if len(keys) == len(charges) else None
