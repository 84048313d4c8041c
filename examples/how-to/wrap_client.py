"""One client obeys the policies; the rest of the program is as it was."""

import httpx

import resilience
from resilience.testing import fake_provider


def main() -> None:
    """Search once, on a fake provider that is busy at first."""
    with fake_provider("anakin", script="429 retry-after 1, success") as provider:
        client = resilience.wrap(httpx.Client(base_url=provider.url), policies=[provider.policy])
        with client:
            answer = client.post("/v1/search", json={"prompt": "httpx"})
        print(answer.status_code)
        print(resilience.trail_of(answer))


if __name__ == "__main__":
    main()
