"""A listener that counts what stood between an application and its provider, and how long it took."""

from collections import Counter

import httpx

import resilience
from resilience import events
from resilience.testing import fake_provider


class Counts(events.Listener):
    """Hears of all; counts what is of interest."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def on_retry(self, event: events.Retrying) -> None:
        """Sent again, and for what."""
        self.seen[f"retried {event.operation} for {event.verdict.category}"] += 1

    def on_refusal(self, event: events.Refused) -> None:
        """Not sent at all; where the layer only observes, it was."""
        if not event.observed:
            self.seen[f"refused by the {event.layer}"] += 1

    def on_call(self, event: events.CallEnded) -> None:
        """Ended."""
        self.seen[event.outcome] += 1


def main() -> None:
    """Three calls: one is sent again, one goes through, and one does not fit into the budget."""
    counts = Counts()
    with fake_provider("anakin", script="429 retry-after 0, success, success") as provider:
        budgets = [{"name": "job", "limit": "3 requests/day"}]
        host = provider.url.removeprefix("http://")
        config = {"version": 1, "providers": {"anakin": {"hosts": [host], "budgets": budgets}}}
        with resilience.wrap(httpx.Client(base_url=provider.url), config=config, listeners=[counts]) as client:
            for _ in range(3):
                client.post("/v1/search", json={"query": "shoes"})
    for what, count in counts.seen.items():
        print(count, what)


if __name__ == "__main__":
    main()
