"""What a call may cost at worst, from the request alone: the first cost that fits, and every surcharge that does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from ._amounts import CONTEXT, LARGEST
from ._conditions import Answer, When, compile_when
from ._matchers import MISSING, compile_matcher
from ._paths import compile_path
from ._request_parts import RequestView

if TYPE_CHECKING:
    from ._credits_policy import Cost, RequestWhen, Times
    from ._policy import Policy

__all__ = ["Costs", "costs_of", "worst_case"]

_MOST_TIMES = 1_000_000


# Whether a condition holds; `None` where that cannot be told.
_Test = Callable[[RequestView], bool | None]
_Count = Callable[[RequestView], int]


class _Entry(NamedTuple):
    """One cost or surcharge."""

    amount: Decimal
    test: _Test | None
    times: _Count | None

    def fits(self, view: RequestView) -> bool | None:
        return True if self.test is None else self.test(view)

    def price(self, view: RequestView) -> Decimal:
        if self.times is None:
            return self.amount
        return min(LARGEST, CONTEXT.multiply(self.amount, Decimal(self.times(view))))


class Costs:
    """What the calls of one operation may cost.

    Arguments:
        costs: those that may fit, up to the first that fits all calls.
        surcharges: those that may fit.
        unknown: the cost of a call that none of the costs fits, `None` to refuse it.
    """

    def __init__(self, costs: Iterable[_Entry], surcharges: Iterable[_Entry], unknown: Decimal | None) -> None:
        self._costs = tuple(costs)
        self._surcharges = tuple(surcharges)
        self._unknown = unknown
        entries = (*self._costs[:1], *self._surcharges)
        self.is_fixed = all(entry.test is None and entry.times is None for entry in entries)
        """Whether all its calls cost the same, whatever is in them."""
        # Of a call that costs the same whatever it says nothing is looked at.
        nothing = RequestView(None, {}, dict[str, list[str]], dict[str, object])
        self.fixed = self._sum(nothing) if self.is_fixed else None
        """That cost; `None` for one that is unknown and refused, or not fixed."""

    def worst(self, view: RequestView) -> Decimal | None:
        """What a call may cost at worst; `None` if nobody knows and such calls are refused."""
        return self.fixed if self.is_fixed else self._sum(view)

    def _sum(self, view: RequestView) -> Decimal | None:
        # Up to the first that surely fits, each that may fit counts: the dearest of them is the worst case.
        possible: list[Decimal] = []
        certain = False
        for entry in self._costs:
            fits = entry.fits(view)
            if fits is not False:
                possible.append(entry.price(view))
            if fits:
                certain = True
                break
        if not certain and self._unknown is not None:
            possible.append(self._unknown)
        if not possible:
            return None
        total = max(possible)
        for entry in self._surcharges:
            if entry.fits(view) is not False:
                total = CONTEXT.add(total, entry.price(view))
        return min(LARGEST, total)


def costs_of(policy: Policy, operation: str | None) -> Costs | None:
    """What the calls of an operation may cost, compiled once; `None` if the policy says nothing of costs."""
    known: dict[str | None, Costs | None] = vars(policy).setdefault("_costs", {})
    try:
        return known[operation]
    except KeyError:
        found = known[operation] = _compiled(policy, operation)
        return found


def worst_case(policy: Policy, view: RequestView) -> Decimal | None:
    """What a call may cost at worst; `None` if that is unknown, and the policy says to refuse such calls.

    Where its body cannot be read before it is sent, the dearest cost that could fit counts, with as many items as there
    can be at most, and so does each surcharge that could fit.
    """
    costs = costs_of(policy, view.operation)
    return None if costs is None else costs.worst(view)


def _compiled(policy: Policy, operation: str | None) -> Costs | None:
    if policy.credits is None:
        return None
    costs: list[_Entry] = []
    for cost in policy.credits.costs:
        if _speaks_of(cost, operation):
            costs.append(_entry(cost))
            if cost.when is None:
                break
    surcharges = [_entry(cost) for cost in policy.credits.surcharges if _speaks_of(cost, operation)]
    unknown = policy.credits.unknown_cost
    return Costs(costs, surcharges, unknown if isinstance(unknown, Decimal) else None)


def _speaks_of(cost: Cost, operation: str | None) -> bool:
    return cost.operations is None or operation in cost.operations


def _entry(cost: Cost) -> _Entry:
    test = None if cost.when is None else _test(cost.when)
    return _Entry(cost.cost, test, None if cost.times is None else _count(cost.times))


def _test(when: RequestWhen) -> _Test:
    headers = compile_when(When(headers=when.headers)) if when.headers else None
    query = [(name, compile_matcher(matcher)) for name, matcher in when.query.items()]
    body = compile_when(When(body=when.body)) if when.body else None

    def test(view: RequestView) -> bool | None:
        if headers is not None and not headers(Answer(None, view.headers)):
            return False
        certain = True
        for name, matches in query:
            # Which of several values of one parameter the provider takes, nobody knows.
            found = {matches(value) for value in view.queries.get(name) or (MISSING,)}
            if found == {False}:
                return False
            certain = certain and False not in found
        if body is not None:
            document = view.document
            if document is MISSING:
                certain = False
            elif not body(Answer(None, view.headers, document=document)):
                return False
        return True if certain else None

    return test


def _count(times: Times) -> _Count:
    if times.body is not None:
        path = compile_path(times.body)

        def count_body(view: RequestView) -> int:
            document = view.document
            if document is MISSING:
                return times.most
            there, value = path.find(document)
            return _items(value, times) if there else times.default

        return count_body

    name = times.query or ""

    def count_query(view: RequestView) -> int:
        values = view.queries.get(name)
        return sum(_named(value, times) for value in values) if values else times.default

    return count_query


def _items(value: object, times: Times) -> int:
    if isinstance(value, list):
        # An empty list names nothing.
        return len(value) or times.default  # pyright: ignore[reportUnknownArgumentType]
    # A float may be a whole number: JSON does not tell them apart. And 0 means "all of them" as often as it means none.
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= _MOST_TIMES and value % 1 == 0:
        return int(value)
    return times.most


def _named(text: str, times: Times) -> int:
    """How many a value in the query names: a number, or items separated by commas."""
    if "," in text:
        return text.count(",") + 1
    number = CONTEXT.create_decimal(text.strip())
    if number.is_nan():
        # A text that is no number is one item; without any text nothing is named.
        return 1 if text.strip() else times.default
    whole = 1 <= number <= _MOST_TIMES and number == number.to_integral_value()
    return int(number) if whole else times.most
