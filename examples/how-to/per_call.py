"""What one call may say for itself."""

import httpx

import resilience
from resilience.testing import fake_provider


def main() -> None:
    """Four calls to a provider that asks for two seconds; it paces those that come after, too."""
    with fake_provider("anakin", script="429 retry-after 2 ...") as provider:
        client = resilience.wrap(httpx.Client(base_url=provider.url), policies=[provider.policy])
        for options in ({"deadline": 1}, {"max_attempts": 1}, {"repeatable": False}, {"off": True}):
            answer = client.post("/v1/search", json={"prompt": "httpx"}, extensions={"resilience": options})
            trail = resilience.trail_of(answer)
            print(options, "->", trail.stopped if trail else "no policy applied")
        client.close()


if __name__ == "__main__":
    main()
