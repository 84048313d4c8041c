"""What a health view tells: which breakers are open, which accounts are latched, whether shared stores answer.

It reads what metrics read: this process's memory at once, a shared store now and then and in bounded time. Accounts are
digests; addresses of stores and the words of providers are not told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from ._problem import Reply
from ._readings import Readings
from ._web_options import options_from

if TYPE_CHECKING:
    from ._credits_lines import Latch
    from ._reading import Reading
    from ._status import Row
    from ._transactions import Store
    from ._web_options import Failing

__all__ = ["View", "is_instant", "readiness"]

_MOST = 100
_readings = Readings()


def is_instant() -> bool:
    """Whether nobody waits for what is read: there is no shared store."""
    return all(store.instant for store in _stores())


class View:
    """A view that tells which breakers are open and which accounts are latched.

    Arguments:
        providers: of these alone; by default all that are in the stores of this process.
        fails_when: for what the answer is 503 (`breaker`, `latch`, `store`); by default it is 200 whatever is open: a
            provider that is down is no reason to restart a service.

    Raises:
        ConfigurationError: `fails_when` has something else.
    """

    def __init__(self, *, providers: Collection[str] | None = None, fails_when: Collection[Failing] = ()) -> None:
        self._fails_when = options_from({"health_fails_when": fails_when}, "the health view").health_fails_when
        self._providers = providers

    def _answer(self, method: str) -> Reply:
        return readiness(method=method, providers=self._providers, fails_when=self._fails_when)


def readiness(
    *, method: str = "GET", providers: Collection[str] | None = None, fails_when: Collection[Failing] = ()
) -> Reply:
    """The state of this process's stores as an answer.

    Arguments:
        method: of the request; a HEAD gets no body.
        providers: of these alone; `None` for all that are in the stores.
        fails_when: what makes it a 503. A provider that is down is no reason to restart a service that copes with it.
    """
    held: list[Row] = []
    latched: list[Latch] = []
    stores: list[dict[str, str]] = []
    for store in _stores():
        reading = _read(store, providers)
        state = "away" if getattr(store, "is_away", False) else "unread" if reading is None else "ok"
        stores.append({"kind": getattr(store, "url", "memory:").partition(":")[0], "state": state})
        held += reading.held if reading else ()
        latched += reading.latched if reading else ()
    wrong: dict[Failing, bool] = {
        "breaker": bool(held),
        "latch": bool(latched),
        "store": any(each["state"] == "away" for each in stores),
    }
    told = {
        "status": "degraded" if any(wrong.values()) else "ok",
        "breakers": [_breaker(each) for each in held[:_MOST]],
        "latched": [_latch(each) for each in latched[:_MOST]],
        "stores": stores,
    }
    content = json.dumps(told).encode()
    headers = ("content-type", "application/json"), ("cache-control", "no-store"), ("content-length", str(len(content)))
    status = 503 if any(wrong[each] for each in fails_when) else 200
    return Reply(status, headers, b"" if method == "HEAD" else content)


def _stores() -> Iterator[Store]:
    from .stores import opened_stores

    return iter(opened_stores())


def _read(store: Store, providers: Collection[str] | None) -> Reading | None:
    return next(iter(_readings.of((store,), providers)), None)


def _breaker(row: Row) -> dict[str, Any]:
    facts, parts = row.facts, row.parts
    return {
        "provider": parts.provider,
        "name": f"{parts.provider} {parts.scope}".strip(),
        "scope": parts.scope or None,
        # Other settings are another breaker.
        "settings": parts.name,
        "state": row.state,
        "seconds": _rounded(facts.get("seconds")),
        "retry_after": _rounded(facts.get("retry_after")),
    }


def _latch(latch: Latch) -> dict[str, Any]:
    return {
        "provider": latch.provider,
        "operation": latch.operation,
        "account": latch.account,
        "seconds": _rounded(latch.shut_for),
        "opens_in": _rounded(latch.opens_in if latch.opens_in is not None else latch.looks_in),
    }


def _rounded(seconds: object) -> float | None:
    return round(seconds, 3) if isinstance(seconds, float) else None
