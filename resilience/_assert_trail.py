"""An assertion on the trail of a call, which shows the whole of it where something differs."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import isclose
from typing import TYPE_CHECKING, Any, cast

from ._trail import Trail
from ._trail_of import last_trail, trail_of

if TYPE_CHECKING:
    from ._modes import Layer
    from ._reasons import EndReason

__all__ = ["assert_trail"]

# Real waits take a little longer than they were meant to; those of a virtual clock do not.
_NEAR = 0.05
_LAST = object()
_ANY: Any = object()


def assert_trail(
    answer: object = _LAST,
    *,
    attempts: int | None = None,
    statuses: Sequence[int | None] | None = None,
    waited: float | Sequence[float] | None = None,
    refused: Layer | bool | None = None,
    ended: EndReason | None = None,
    cost: Decimal | float | str | None = None,
    operation: str | None = _ANY,
) -> Trail:
    """Assert what happened to a call; only what is given is looked at.

    Arguments:
        answer: a response, an error, what an SDK made of one of them, or a trail; by default the last call of this thread.
        attempts: how often it was sent.
        statuses: the statuses of its answers, in order; `None` for an attempt that got none.
        waited: the seconds of all its waits together, or of each.
        refused: the layer that refused it, `True` for any, `False` for none.
        ended: why no further attempt followed, in one word: `success`, `max_attempts`, `deadline` and so on.
        cost: what all its attempts were charged.
        operation: the policy's name for what was called, `None` for none.

    Returns:
        The trail, for whatever else is of interest.

    Raises:
        AssertionError: something differs, or there is no trail: no policy applied.
        TypeError: `statuses` is not one status for each attempt.
    """
    trail = last_trail() if answer is _LAST else answer if isinstance(answer, Trail) else trail_of(answer)
    if trail is None:
        elsewhere = "; of calls that were made in other threads, as an application under test makes them, give the response or a trail"
        what = f"no call of this thread has a trail{elsewhere}" if answer is _LAST else f"{answer!r:.200} has no trail"
        raise AssertionError(f"{what}: no policy applied to it; is the client wrapped, or resilience installed and on?")
    differences = [
        f"  {name}: {_shown(found)}, expected {_shown(expected)}"
        for name, expected, found in (
            ("attempts", attempts, len(trail.attempts)),
            ("statuses", _listed(statuses), [each.status for each in trail.attempts]),
            ("waited", waited, _waits(trail, waited)),
            ("refused", refused, _refused(trail, refused)),
            ("ended", ended, trail.why),
            ("cost", None if cost is None else Decimal(str(cost)), sum((each.amount for each in trail.charges), Decimal(0))),
        )
        if expected is not None and not _same(expected, found)
    ]  # fmt: skip
    if operation is not _ANY and operation != trail.operation:
        differences.append(f"  operation: {_shown(trail.operation)}, expected {_shown(operation)}")
    if differences:
        raise AssertionError("\n".join(["the call went otherwise:", *differences, "", str(trail)]))
    return trail


def _listed(given: object) -> list[object] | None:
    if given is None:
        return None
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise TypeError(f"statuses are those of all attempts, in order, as [429, 200], not {given!r}")
    return list(cast("Sequence[object]", given))


def _waits(trail: Trail, expected: object) -> float | list[float]:
    waits = [wait.seconds for wait in trail.waits]
    return waits if isinstance(expected, Sequence) else sum(waits)


def _refused(trail: Trail, expected: object) -> object:
    refusals = [each.layer for each in trail.refusals if not each.observed]
    return bool(refusals) if isinstance(expected, bool) else (refusals[-1] if refusals else None)


def _same(expected: Any, found: Any) -> bool:
    if isinstance(expected, bool | str | Decimal):
        return bool(expected == found)
    if isinstance(expected, Sequence):
        wanted: Any = expected  # pyright: ignore[reportUnknownVariableType]  of whatever there is in it
        return len(wanted) == len(found) and all(_same(*pair) for pair in zip(wanted, found, strict=True))
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return isclose(expected, found, rel_tol=0.01, abs_tol=_NEAR) if isinstance(found, float) else expected == found
    # pytest.approx, and what else compares by itself.
    return bool(expected == found)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}s"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_shown(each) for each in cast('Sequence[object]', value))}]"
    return str(value)
