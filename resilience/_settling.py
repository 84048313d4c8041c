"""Settling a reservation on what the answer says: at once where that is known, else when its body has come to its end."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from ._amounts import millionths
from ._body import Body, peek
from ._budget_state import BALANCE_SECONDS
from ._categories import Category
from ._charges import reader_of
from ._conditions import Answer
from ._credits_guard import ledger_page, settling_key
from ._decode import media_type
from ._fork import Lock
from ._held import hold
from ._holder import new_name
from ._jobs import begin, finish, keep, recall
from ._last_events import is_stream
from ._latches import word_of
from ._request_parts import path_of
from ._transactions import Command

if TYPE_CHECKING:
    from ._charges import CostReader
    from ._jobs import Noted
    from ._library import Response
    from ._outcome import Exchange, Outcome
    from ._reservation import Reservation
    from ._runtime import Runtime

__all__ = ["Settling", "settle"]


async def settle(
    exchange: Exchange, runtime: Runtime, outcome: Outcome, reservation: Reservation, job: Noted | None
) -> None:
    """Settle what an attempt has cost, now or at the end of its body.

    Arguments:
        exchange: the call.
        runtime: how the store is told.
        outcome: its answer.
        reservation: what it has reserved.
        job: what is known of the job that the call asks about.
    """
    response = outcome.response
    if response is None:
        return
    reader = reader_of(exchange.policy, exchange.operation)
    if reader is None:
        # Its requests are all that is counted.
        good = outcome.verdict.category is Category.SUCCESS
        reservation.settle(reservation.worst, "settled" if good else "failed", word=word_of(outcome.verdict))
        return
    if reader.names_jobs and job is None:
        job = await _named(exchange, runtime, outcome, reader, reservation)
    settling = Settling(exchange, runtime, reservation, outcome, reader=reader, job=job)
    if not reader.looks(response.status_code, media_type(response.headers.get("content-type", ""))):
        settling.ended()
        return
    stream = response.stream
    whole = stream.whole(sys.maxsize) if isinstance(stream, Body) else None
    if whole is not None:
        settling.passed(whole)
        settling.ended()
    elif response.is_closed:
        # A transport that has read the body itself, as mocks do; `content` is decompressed already.
        with suppress(Exception):
            settling.decoded(response.content)
        settling.ended()
    else:
        hold(runtime, response, settling, settling.passed)


async def _named(
    exchange: Exchange, runtime: Runtime, outcome: Outcome, reader: CostReader, reservation: Reservation
) -> Noted | None:
    """What is known of the job that an answer names."""
    response = cast("Response", outcome.response)
    try:
        most = exchange.policy.inspect.max_bytes
        media = media_type(response.headers.get("content-type", ""))
        if is_stream(media) or not reader.looks(response.status_code, media):
            return None
        if not response.is_closed and not isinstance(response.stream, Body):
            await peek(runtime, response, most, exchange.deadline)
        data = response.stream.whole(most) if isinstance(response.stream, Body) else None
        if data is None:
            return None
        answer = Answer(response.status_code, response.headers, exchange.request.method, exchange.operation)
        reader.fill(answer, data, complete=True)
        ended = reader.read(answer, outcome.verdict).ended
        return None if ended is None else await recall(exchange, runtime, ended)
    except BaseException:
        # Cancelled with an answer in hand: nobody else will close it.
        reservation.leave()
        await runtime.close(response.stream)
        raise


class Settling:
    """What a response stream holds until its body has told what the call cost.

    Arguments:
        as of `settle`.
    """

    def __init__(
        self,
        exchange: Exchange,
        runtime: Runtime,
        reservation: Reservation,
        outcome: Outcome,
        *,
        reader: CostReader,
        job: Noted | None,
    ) -> None:
        response = cast("Response", outcome.response)
        self._reader = reader
        self._exchange = exchange
        self._runtime = runtime
        self._reservation = reservation
        self._verdict = outcome.verdict
        self._status = response.status_code
        self._headers = response.headers
        self._job = job
        self._data = bytearray()
        self._most = exchange.policy.inspect.max_bytes
        # Of a stream its end tells; what is compressed can be read from its beginning alone.
        encoded = self._headers.get("content-encoding", "").strip().lower() not in {"", "identity"}
        self._keeps_end = not encoded and is_stream(media_type(self._headers.get("content-type", "")))
        self._is_decoded = False
        self._lock = Lock()
        self._is_settled = False

    def passed(self, chunk: bytes) -> None:
        """Keep what of the body is looked at."""
        if self._keeps_end:
            self._data += chunk
            if len(self._data) > 2 * self._most:
                del self._data[: -self._most]
        elif len(self._data) <= self._most:
            # One byte more tells that it is not all.
            self._data += chunk[: self._most + 1 - len(self._data)]

    @property
    def renew_at(self) -> float:
        """When the reservation has to be renewed."""
        return self._reservation.renew_at

    def renew(self) -> None:
        """Keep the reservation while the body is read."""
        self._reservation.renew()

    def decoded(self, content: bytes) -> None:
        """Take a body that was decompressed already."""
        self._is_decoded = True
        self.passed(content)

    def ended(self) -> None:
        """The body has come to its end."""
        self._settle(complete=True)

    def release(self) -> None:
        """It was closed before, or broke off."""
        self._settle(complete=False)

    def broke(self, _error: BaseException) -> None:
        """What came until then is all there is."""
        self.release()

    def abandon(self) -> None:
        """Nobody has closed it."""
        self._reservation.in_a_thread(self.release)

    def _settle(self, *, complete: bool) -> None:
        exchange, verdict, reservation = self._exchange, self._verdict, self._reservation
        with self._lock:
            # Whoever comes first has what was read: it may be closed in one thread while it is read in another.
            if self._is_settled or not reservation.is_open:
                return
            self._is_settled = True
        answer = Answer(self._status, self._headers, exchange.request.method, exchange.operation)
        answer.code, answer.message = verdict.code, verdict.message
        if self._data:
            complete = complete and (self._keeps_end or len(self._data) <= self._most)
            self._reader.fill(answer, bytes(self._data), complete=complete, decoded=self._is_decoded)
            self._data.clear()
        said = self._reader.read(answer, verdict, path_of(exchange.request))
        good = verdict.category is Category.SUCCESS
        if said.job is not None:
            begin(exchange, self._runtime, reservation, said.job)
        elif said.ended is not None:
            # What the answer tells is what the job has cost, not the question how it stands.
            if self._job is not None and self._job.id == said.ended:
                finish(exchange, self._runtime, self._job, said.charged)
            reservation.settle(reservation.worst, "settled", word=word_of(verdict))
        else:
            if self._job is not None:
                keep(exchange, self._runtime, self._job)
            charged = reservation.worst if said.charged is None else said.charged
            ending = "settled" if good else "failed" if verdict.error is None else "unanswered"
            reservation.settle(charged, ending, word=word_of(verdict))
        if said.balance is not None:
            self._report(millionths(said.balance))

    def _report(self, balance: int) -> None:
        """Take the provider's word on what is left."""
        exchange, guard = self._exchange, self._reservation.guard
        use = next((use for use in guard.uses if use.budget is None), None) if guard else None
        if use is None:
            return
        name = new_name()
        row = [
            round(self._runtime.clock.wall(), 3),
            name,
            exchange.operation or "",
            exchange.account,
            "",
            balance,
            "balance",
        ]
        keys = (ledger_page(exchange, name), settling_key(exchange, use, "ever"))
        self._runtime.tell(exchange.store, Command("credits.report", keys, (balance, BALANCE_SECONDS, row)))
