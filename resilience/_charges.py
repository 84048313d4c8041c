"""What an answer says of the cost of its call: what was charged, what is left, which job has begun or ended."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from ._amount_places import first_amount, places_for
from ._categories import Category
from ._conditions import compile_when
from ._decode import decode
from ._envelope import compile_envelopes
from ._inspection import BODILESS
from ._last_events import is_done, is_stream, last_documents
from ._paths import compile_path
from ._projection import Projection
from ._request_parts import path_values

if TYPE_CHECKING:
    from ._conditions import Answer, Condition, When
    from ._credits_policy import Charge, Job
    from ._outcome import Verdict
    from ._paths import Path
    from ._policy import Policy

__all__ = ["CostReader", "Said", "reader_of"]

_ZERO = Decimal(0)
_LONGEST_ID = 200
# A number of 200 digits has no more bits; a longer one takes quadratic time to write.
_BITS_OF_ID = 664
# Answers for which the provider has done its work, as far as anybody knows.
_WORKED = frozenset({Category.SUCCESS, Category.TARGET_BLOCKED, Category.TARGET_ERROR, Category.JOB_FAILED})
_BEGUN = frozenset({Category.SUCCESS, Category.NOT_READY})


class Said(NamedTuple):
    """What an answer says of the cost of its call."""

    charged: Decimal | None
    """What the call has cost; `None` for its worst case."""
    balance: Decimal | None = None
    """What is left of the account, if the answer tells it."""
    job: str | None = None
    """The job that it has begun and that is not paid for yet."""
    ended: str | None = None
    """The job that has ended by this answer: it is paid for now."""


class _Condition(NamedTuple):
    """A condition on answers, with its status."""

    when: When
    holds: Condition

    def fits(self, answer: Answer) -> bool:
        statuses = self.when.status
        return (statuses is None or answer.status in statuses) and self.holds(answer)

    def reads(self, status: int) -> bool:
        """Whether it looks into the bodies of such answers."""
        return self.when.reads_body and (self.when.status is None or status in self.when.status)


class _Job(NamedTuple):
    """How the answers of one operation speak of jobs."""

    id: Path | None
    """Where the id stands of a job that they begin; `None` for an operation that begins none."""
    polls: bool
    poll_id: Path | None
    ended: _Condition


class CostReader:
    """How the answers of one operation are read.

    Arguments:
        policy: a policy that says what calls cost.
        operation: the operation, `None` for requests that belong to none.
    """

    def __init__(self, policy: Policy, operation: str | None) -> None:
        told = policy.credits
        assert told is not None  # `reader_of` makes no reader otherwise
        self.charged = places_for(told.charged, operation)
        """The places that tell what a call has cost."""
        self.balance = places_for(told.balance, operation)
        """The places that tell what is left."""
        self.jobs = tuple(_job(job, operation) for job in told.jobs if operation in {*job.submit, *job.poll})
        """How its answers speak of jobs."""
        self.names_jobs = any(job.polls and job.poll_id is not None for job in self.jobs)
        """Whether answers, not paths, name the jobs that are asked about."""
        self._charges = tuple((_condition(charge.when), charge) for charge in told.charges)
        self._failures = told.failed_calls
        self._templates = policy.operations[operation].path if operation in policy.operations else ()
        self._inspection = policy.inspect
        conditions = [condition for condition, _ in self._charges]
        conditions += [job.ended for job in self.jobs if job.polls]
        self._conditions = tuple(conditions)
        asked = [place.path for place in (*self.charged, *self.balance)]
        asked += [path for job in self.jobs for path in (job.id, job.poll_id)]
        self._asked = tuple(path for path in asked if path is not None)
        wanted = {path.text for path in self._asked} | {path for each in conditions for path in each.when.paths}
        codes = any(condition.when.code or condition.when.message for condition in conditions)
        self._envelope = compile_envelopes(policy.envelopes) if codes else None
        if codes:
            wanted |= {path for envelope in policy.envelopes for path in envelope.paths} | {"type", "detail", "title"}
        self._projection = Projection(compile_path(path) for path in sorted(wanted))

    def looks(self, status: int, content_type: str = "") -> bool:
        """Whether the body of such an answer has to be looked at.

        Arguments:
            status: the status of the answer.
            content_type: its media type without parameters; without one the status alone decides.
        """
        if status in BODILESS or not (self._asked or any(condition.reads(status) for condition in self._conditions)):
            return False
        return is_stream(content_type) or self._inspection.includes(content_type)

    def fill(self, answer: Answer, data: bytes, *, complete: bool, decoded: bool = False) -> None:
        """Put into an answer what is read of its body.

        Arguments:
            answer: the answer, with its headers.
            data: its body, or the beginning of it; of a stream (`is_stream`) that is not compressed also the end of it.
            complete: whether that is all of it; of a stream, whether its end is there.
            decoded: whether `data` is decompressed already.
        """
        limit, media = self._inspection.max_bytes, answer.content_type
        encoding = "" if decoded else answer.headers.get("content-encoding", "").strip().lower()
        stream = is_stream(media)
        if stream and encoding in {"", "identity"}:
            data, whole = data[max(0, len(data) - limit) :], len(data) <= limit
        else:
            found = decode(data, encoding, limit=limit)
            data, whole = found.data, found.complete
            complete = complete and whole
        # SDKs that read so far close the stream: the end of the connection's body never comes.
        complete = complete or (stream and is_done(data, media))
        answer.body, answer.complete, answer.document = data, complete and whole, None
        if not stream:
            kind = answer.headers.get("content-type", "")
            answer.document = self._projection.read(data, complete=complete, content_type=kind) if data else None
        elif complete:
            # An earlier event may tell less than the last one does, so that nothing is told without the end.
            answer.document = self._last_document(data, media)
        if self._envelope is not None:
            answer.code, answer.message = self._envelope(answer)

    def charge(self, answer: Answer) -> Charge | None:
        """The entry of `charges` that speaks of an answer."""
        return next((charge for condition, charge in self._charges if condition.fits(answer)), None)

    def read(self, answer: Answer, verdict: Verdict, path: str = "") -> Said:
        """What an answer says.

        Arguments:
            answer: the answer, with what `fill` put into it if `looks` asks for that.
            verdict: what it means.
            path: of the request as it was sent, without the query.
        """
        begun, ended = self._job_of(answer, verdict, path)
        balance = first_amount(self.balance, answer, negative=True) if self.balance else None
        return Said(self._cost(answer, verdict), balance, begun, ended)

    def id_in(self, path: str) -> str | None:
        """What stands in a path for the part that the template puts in braces; of several the last."""
        values = path_values(self._templates, path)
        return _id(list(values.values())[-1]) if values else None

    def _cost(self, answer: Answer, verdict: Verdict) -> Decimal | None:
        told = first_amount(self.charged, answer)
        if told is not None:
            return told
        charge = self.charge(answer)
        if charge is not None:
            return None if charge.cost == "worst" else charge.cost
        if verdict.error is not None:
            # A success whose body broke off while it was looked at: the work was done, and nobody saw what it cost.
            return None
        if verdict.category is not Category.SUCCESS and self._failures is not None:
            return None if self._failures == "charged" else _ZERO
        return None if verdict.category in _WORKED else _ZERO

    def _job_of(self, answer: Answer, verdict: Verdict, path: str) -> tuple[str | None, str | None]:
        begun: str | None = None
        ended: str | None = None
        for job in self.jobs:
            if begun is None and job.id is not None and verdict.category in _BEGUN:
                begun = _id(answer.field(job.id))
            if ended is None and job.polls and job.ended.fits(answer):
                ended = _id(answer.field(job.poll_id)) if job.poll_id is not None else self.id_in(path)
        # What has ended as soon as it began is paid for as any call.
        return (None, None) if begun is not None and begun == ended else (begun, ended)

    def _last_document(self, data: bytes, media: str) -> object:
        # The last event that tells anything; where no place is asked for, the last of which a condition speaks.
        paths = self._asked or self._projection.paths
        for text in last_documents(data, media):
            document = self._projection.read(text, complete=True)
            if any(path.find(document)[0] for path in paths):
                return document
        return None


def reader_of(policy: Policy, operation: str | None) -> CostReader | None:
    """How the answers of an operation are read, compiled once; `None` if the policy says nothing of costs."""
    known: dict[str | None, CostReader | None] = vars(policy).setdefault("_cost_readers", {})
    try:
        return known[operation]
    except KeyError:
        found = known[operation] = None if policy.credits is None else CostReader(policy, operation)
        return found


def _condition(when: When) -> _Condition:
    return _Condition(when, compile_when(when))


def _job(job: Job, operation: str | None) -> _Job:
    return _Job(
        compile_path(job.id) if operation in job.submit else None,
        operation in job.poll,
        compile_path(job.poll_id) if job.poll_id is not None and operation in job.poll else None,
        _condition(job.ended),
    )


def _id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _BITS_OF_ID:
        value = str(value)
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID else None
