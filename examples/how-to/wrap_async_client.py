"""The same for an asynchronous client; waits do not block the event loop."""

import asyncio

import httpx

import resilience
from resilience.testing import fake_provider


async def main() -> None:
    """Search ten times at once, on a fake provider that fails four of the requests."""
    with fake_provider("anakin", script="search-error *4") as provider:
        client = resilience.wrap(httpx.AsyncClient(base_url=provider.url), policies=[provider.policy])
        async with client:
            calls = [client.post("/v1/search", json={"prompt": f"question {number}"}) for number in range(10)]
            answers = await asyncio.gather(*calls)
    print([answer.status_code for answer in answers])


if __name__ == "__main__":
    asyncio.run(main())
