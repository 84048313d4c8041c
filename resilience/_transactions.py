"""Decisions on shared state: what a layer asks of a store, and what a script may do inside of one.

A decision is a `Command`: the name of a script, the keys of the states that it reads and writes, and plain arguments.
Every store runs it atomically. The memory and SQLite stores run the Python function of that name; Redis runs the Lua
script of that name, which decides the same (one test suite holds all three to that). A state is a flat mapping of
plain data, so that it fits into a row or a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from ._line import Lines

__all__ = ["SCRIPTS", "Alone", "Command", "Reply", "Script", "State", "Store", "Transaction", "script_named"]

State = dict[str, Any]
"""Plain data: numbers, texts, and lists of them. Times are seconds of the store's own clock."""
Reply = list[float]
"""What a script answers: numbers only, whose meaning its function documents."""


class Alone(Reply):
    """A reply of this process alone, since a shared store was away: the store will not know of it."""


class Command(NamedTuple):
    """One decision. Arguments: `name` of the script, `keys` of its states, `arguments` as plain data for JSON."""

    name: str
    keys: tuple[str, ...]
    arguments: tuple[Any, ...] = ()
    strict: bool = False
    """Whether no decision, an empty reply, is better than one that this process makes alone while a shared store is away."""


class Transaction(Protocol):
    """What a script sees: the time, and the states of its keys, which nobody else changes meanwhile."""

    now: float
    """Seconds of the store's clock, which never goes back."""

    def load(self, key: str, /) -> State | None:
        """The state of a key; `None` if there is none. It may be changed in place, and must be saved then."""
        ...

    def save(self, key: str, state: State | None, seconds: float, /) -> None:
        """Keep a state for at least so many seconds from now; `None` forgets it."""
        ...


Script = Callable[[Transaction, tuple[str, ...], tuple[Any, ...]], Reply]


class Store(Protocol):
    """Where states are kept."""

    url: str
    """Where it is, without credentials, for people."""
    lines: Lines
    """Who of this process waits for something that it keeps."""
    instant: bool
    """Whether a decision takes no more than some microseconds, so that an event loop may make it."""

    def run(self, command: Command, now: float, /) -> Reply:
        """Make a decision, on the caller's thread.

        Arguments:
            command: what to decide.
            now: the caller's own time, for stores without a clock of theirs.
        """
        ...

    def tell(self, command: Command, now: float, /) -> None:
        """The same for a decision whose reply nobody needs, also by a call that is collected within another decision."""
        ...

    @property
    def changes(self) -> int | None:
        """How often a state was saved or forgotten: as long as that is the same, so is what was read. `None` where others save too."""
        ...

    def holds(self, key: str, /) -> bool:
        """Whether there may be a state; true where finding out would be a decision of its own."""
        ...

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        """The states whose keys begin so, for people to look at."""
        ...

    def now(self, now: float, /) -> float:
        """The store's time, given the caller's."""
        ...

    def close(self) -> None:
        """Let go of connections; the store may be used again."""
        ...


# Each script lives in the module of its behaviour, which is imported when it is first needed.
_MODULES: Mapping[str, str] = {
    "bucket": "_bucket",
    "permits": "_permits",
    "breaker": "_breaker_state",
    "budget": "_retry_budget",
    "credits": "_credits_state",
    "latch": "_latch_state",
    "notes": "_notes",
}
# Those that are asked of stores in this process alone, and have no twin.
_INSTANT: Mapping[str, str] = {"shortcut": "_shortcut_state"}
SCRIPTS: dict[str, Script] = {}
"""Those of the behaviours that were needed already, by their names."""


def script_named(name: str) -> Script:
    """The Python function of a script: `bucket.reserve` is `reserve` in the module that keeps buckets."""
    script = SCRIPTS.get(name)
    if script is None:
        kind, _, verb = name.partition(".")
        module = import_module(f".{_MODULES.get(kind) or _INSTANT[kind]}", __package__)
        # All of them: a call that the interpreter collects at its end gives back what it holds, and can import nothing then.
        for each in module.__all__:
            SCRIPTS.setdefault(f"{kind}.{each}", getattr(module, each))
        script = getattr(module, verb)
    return script
