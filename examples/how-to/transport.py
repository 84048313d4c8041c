"""A transport by hand: where the client is built from parts."""

import httpx

import resilience.httpx
from resilience.testing import fake_provider


def main() -> None:
    """Search once, over a transport with a small pool of connections."""
    with fake_provider("anakin", script="search-error, success") as provider:
        inner = httpx.HTTPTransport(limits=httpx.Limits(max_connections=20))
        transport = resilience.httpx.Transport(inner, policies=[provider.policy])
        with httpx.Client(transport=transport, base_url=provider.url) as client:
            print(client.post("/v1/search", json={"prompt": "httpx"}).status_code)


if __name__ == "__main__":
    main()
