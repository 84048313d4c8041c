"""A nightly job that may spend ten credits: what fits is sent, and what does not is refused before it is sent."""

import httpx

import resilience
from resilience.testing import fake_provider


def main() -> None:
    """Look up domains, a credit each, and then scan them live, for five."""
    with fake_provider("technologychecker") as provider:
        config = {
            "version": 1,
            "providers": {
                "technologychecker": {
                    "hosts": [provider.url.removeprefix("http://")],
                    "budgets": [{"name": "job", "limit": "10 credits", "per": "tag.job"}],
                }
            },
        }
        client = resilience.wrap(httpx.Client(base_url=provider.url), config=config)
        with client, resilience.tags(job="nightly-2026-11-21"):
            for number in range(4):
                client.get(f"/v1/domain/{number}.example")
            for number in range(3):
                answer = client.post("/v1/technology-lookup-live", json={"url": f"{number}.example"})
                print(answer.headers.get("x-resilience-refused", "sent"))
    print(len(provider.requests), "requests reached the provider")


if __name__ == "__main__":
    main()
