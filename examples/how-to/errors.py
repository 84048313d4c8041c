"""What is raised is an error of the HTTP library too, and carries the trail."""

import httpx

import resilience
from resilience.testing import fake_provider


def main() -> None:
    """Search once, on a fake provider that hangs; the call may take half a second."""
    with fake_provider("anakin", script="hang 30s ...") as provider:
        client = resilience.wrap(httpx.Client(base_url=provider.url), policies=[provider.policy])
        try:
            client.post("/v1/search", json={}, extensions={"resilience": {"deadline": 0.5}})
        except httpx.HTTPError as error:
            print(type(error).__name__, "for", error.request.url.path)
            print(isinstance(error, httpx.TimeoutException), resilience.trail_of(error))
        client.close()


if __name__ == "__main__":
    main()
