"""Random histories of rate limits, for all stores alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from resilience._transactions import Command, Reply

__all__ = ["ALGORITHMS", "KEYS", "Step", "commands_bucket", "play", "specs", "steps_bucket"]

KEYS = ("{p}:bucket:a", "{p}:bucket:b", "{p}:bucket:c")
ALGORITHMS = ("token_bucket", "fixed_window", "moving_window", "sliding_window_counter", "unrated")
_waits = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.5, 1.0, 2.5, 7.0, 60.0]) | st.floats(0, 30)


class Step(NamedTuple):
    """Something that happens to the buckets of `KEYS`.

    Arguments:
        after: seconds since the step before.
        verb: the script.
        buckets: which buckets, by their number.
        numbers: wait, pause, remaining and reset, whichever the verb takes.
        cost: of the call.
        which: the slot that is meant, counted over those that are held.
    """

    after: float
    verb: str
    buckets: tuple[int, ...]
    numbers: tuple[float, float]
    cost: int
    which: int


def specs(algorithms: tuple[str, ...] = ALGORITHMS) -> st.SearchStrategy[list[Any]]:
    """The rate of a bucket, small enough for a few calls to use it up; its cost is filled in by the step."""
    return st.builds(
        lambda algorithm, amount, seconds, burst: [algorithm, amount, seconds, burst, 1],
        st.sampled_from(algorithms),
        st.sampled_from([1, 2, 3, 5, 10, 700]),
        st.sampled_from([0.7, 1.0, 2.0, 60.0]),
        st.integers(1, 6),
    )


def steps_bucket() -> st.SearchStrategy[Step]:
    """One step of a history."""
    verbs = ["reserve"] * 6 + ["give_back"] * 4 + ["confirm", "look", "pause", "correct"]
    some = st.lists(st.integers(0, len(KEYS) - 1), min_size=1, max_size=3, unique=True).map(tuple)
    return st.builds(
        Step, _waits, st.sampled_from(verbs), some, st.tuples(_waits | st.just(1e6), _waits), st.integers(1, 3),
        st.integers(0, 40),
    )  # fmt: skip


def play(
    steps: list[Step], rates: list[list[Any]], run: Callable[[Command, float], Reply], start: float
) -> list[Reply]:
    """What a store answers to a history.

    Arguments:
        steps: the history.
        rates: a spec for each of `KEYS`.
        run: makes a decision at a time.
        start: the time at which it begins.
    """
    now, replies = start, list[Reply]()
    held: list[tuple[int, int, float, float]] = []
    for step in steps:
        now += step.after
        bucket = step.buckets[0]
        costs = [[*rates[each][:4], step.cost] for each in step.buckets]
        if step.verb in {"reserve", "look"}:
            keys = tuple(KEYS[each] for each in step.buckets)
            arguments: tuple[Any, ...] = (step.numbers[0], costs) if step.verb == "reserve" else (costs,)
            reply = run(Command(f"bucket.{step.verb}", keys, arguments), now)
            if step.verb == "reserve" and reply[0]:
                taken = step.buckets if reply[2] < 0 else (step.buckets[int(reply[2])],)
                held += [(each, step.cost, reply[3], reply[4]) for each in taken]
        elif step.verb in {"give_back", "confirm"}:
            if not held:
                continue
            place = step.which % len(held)
            bucket, cost, slot, shift = held[place]
            if step.verb == "give_back":
                del held[place]
                arguments = ([*rates[bucket][:4], cost], slot, shift)
            else:
                arguments = (shift,)
            reply = run(Command(f"bucket.{step.verb}", (KEYS[bucket],), arguments), now)
            if step.verb == "confirm" and shift >= 0:
                held[place] = (bucket, cost, slot + max(0, reply[1] - shift), reply[1])
        elif step.verb == "pause":
            reply = run(Command("bucket.pause", (KEYS[bucket],), (step.numbers[1], costs[0])), now)
        else:
            numbers = (step.which % 8, step.numbers[1])
            reply = run(Command("bucket.correct", (KEYS[bucket],), (*numbers, costs[0])), now)
        replies.append(reply)
    return replies


def commands_bucket() -> st.SearchStrategy[Command]:
    """One command that needs no answer of an earlier one; histories with slots come from `steps_bucket` and `play`."""

    def command(step: Step, rates: list[list[Any]]) -> Command:
        costs = [[*rates[each][:4], step.cost] for each in step.buckets]
        keys = tuple(KEYS[each] for each in step.buckets)
        arguments: dict[str, tuple[Any, ...]] = {
            "reserve": (step.numbers[0], costs),
            "look": (costs,),
            "give_back": (costs[0], step.numbers[1], step.which % 2 - 1),
            "confirm": (step.which,),
            "pause": (step.numbers[1], costs[0]),
            "correct": (step.which, step.numbers[1], costs[0]),
        }
        keys = keys if step.verb in {"reserve", "look"} else keys[:1]
        return Command(f"bucket.{step.verb}", keys, arguments[step.verb])

    rates = st.lists(specs(), min_size=len(KEYS), max_size=len(KEYS))
    return st.builds(command, steps_bucket(), rates)
