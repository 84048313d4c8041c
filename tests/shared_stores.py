"""What tests of shared stores ask of them: a bucket that is used up by a few calls, and places for some at a time."""

from __future__ import annotations

from resilience._transactions import Command, Store

__all__ = ["KEY", "PLACES", "acquire", "is_admitted", "place", "release", "take"]

KEY = "{p}:bucket:hourly:-"
PLACES = "{p}:permits:places:-"


def take(amount: int = 3, seconds: float = 3600.0, key: str = KEY, max_wait: float = 0.0) -> Command:
    """One call under a limit of so many in so many seconds, all of them at once if need be."""
    return Command("bucket.reserve", (key,), (max_wait, [["token_bucket", amount, seconds, amount, 1]]))


def is_admitted(store: Store, command: Command | None = None, now: float = 0.0) -> bool:
    """Whether the store lets a call through."""
    return store.run(command or take(), now)[0] == 1


def acquire(holder: str, lease: float = 60.0, most: int = 1, key: str = PLACES) -> Command:
    """A place under a limit of so many at a time."""
    return Command("permits.acquire", (key,), (holder, lease, most))


def release(holder: str, key: str = PLACES) -> Command:
    """The place given back."""
    return Command("permits.release", (key,), (holder,))


def place(store: Store, holder: str, now: float = 0.0, lease: float = 60.0) -> bool:
    """Whether the holder gets, or has, the one place."""
    return store.run(acquire(holder, lease), now)[0] == 1
