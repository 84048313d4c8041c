"""The same call, with its story: what came, what was waited for, and why it ended."""

import os

import httpx

import resilience


def main() -> None:
    """Search once and print the trail."""
    base = os.environ.get("ANAKIN_URL", "https://api.anakin.io")
    with resilience.wrap(httpx.Client(base_url=base)) as client:
        answer = client.post("/v1/search", json={"prompt": "httpx"})
        print(answer.status_code)
        print(resilience.trail_of(answer))


if __name__ == "__main__":
    main()
