"""Count what the library did, from the trails of the answers."""

from collections import Counter

import httpx

import resilience.httpx
from resilience.testing import VirtualClock, fake_provider


def main() -> None:
    """Twenty searches on a fake provider where every fourth request fails."""
    seen: Counter[str] = Counter()

    def count(response: httpx.Response) -> None:
        trail = resilience.trail_of(response)
        if trail is not None:
            seen.update(str(attempt.verdict.category) for attempt in trail.attempts)

    with fake_provider("anakin", rates="429=15%, 503=10%", seed=3) as provider:
        transport = resilience.httpx.Transport(policies=[provider.policy], clock=VirtualClock())
        hooks = {"response": [count]}
        with httpx.Client(transport=transport, base_url=provider.url, event_hooks=hooks) as client:
            for number in range(20):
                client.post("/v1/search", json={"prompt": f"question {number}"})
    print(seen)


if __name__ == "__main__":
    main()
