"""What the limiter would do, with nothing delayed: a dozen calls at once, where ten a second are allowed."""

import httpx

import resilience
import resilience.httpx

CONFIG = {"version": 1, "mode": {"limiter": "observe"}}


def main() -> None:
    """Call twelve times; the answers come at once, and the trail of the last one says what would have been."""
    inner = httpx.MockTransport(lambda _: httpx.Response(200, json={"meta": {"status": 200}}))
    with httpx.Client(transport=resilience.httpx.Transport(inner, config=CONFIG)) as client:
        answers = [
            client.get("https://scraping-api.55-tech.com/fetch", headers={"X-API-Key": "a key"}) for _ in range(12)
        ]
    print(resilience.trail_of(answers[-1]))


if __name__ == "__main__":
    main()
