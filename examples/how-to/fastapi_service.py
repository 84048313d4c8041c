"""A FastAPI service that passes on what its callers leave it, and answers for a provider that is not there."""

import asyncio
from typing import Any

import httpx
from fastapi import Depends, FastAPI

import resilience
from resilience.fastapi import SecondsLeft, add_resilience, within
from resilience.testing import fake_provider

app = FastAPI()
add_resilience(
    app,
    timeout=10,
    deadline_header="X-Request-Timeout",
    attempts_header="X-Attempts-Left",
    tag_headers={"tenant": "X-Tenant"},
    route_tag="route",
    health="/health/calls",
)
client = httpx.AsyncClient()


@app.get("/domains/{name}", dependencies=[Depends(within(5))])
async def domain(name: str, left: SecondsLeft) -> dict[str, Any]:
    """Nothing here speaks of deadlines, retries or tenants: the calls know."""
    answer = await client.get(f"{app.state.provider}/v1/domain/{name}")
    answer.raise_for_status()
    return {"name": name, "had time": left is not None}


async def ask(**headers: str) -> None:
    """What a caller of the service sees."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as caller:
        given = {f"X-{name.replace('_', '-')}": value for name, value in headers.items()}
        answer = await caller.get("/domains/shop.example", headers=given)
        told = answer.json()
        again = answer.headers.get("retry-after")
        print(answer.status_code, told.get("code", "-"), f"retry after {again}s" if again else "")


async def main() -> None:
    """Two tenants with a call a day each, a caller in a hurry, and a provider that fails."""
    with fake_provider("technologychecker", script="success, success, hang 60s, 503, ...") as provider:
        app.state.provider = provider.url
        host = provider.url.removeprefix("http://")
        budgets = [{"name": "tenants", "limit": "1 requests/day", "per": "tag.tenant", "warn_at": None}]
        resilience.install({"version": 1, "providers": {"technologychecker": {"hosts": [host], "budgets": budgets}}})
        for tenant in ("acme", "globex", "acme"):
            await ask(Tenant=tenant)
        await ask(Tenant="hasty", Request_Timeout="0.5")
        await ask(Tenant="patient", Attempts_Left="1")
        print(len(provider.requests), "requests have come to the provider")
    await client.aclose()
    resilience.uninstall()


if __name__ == "__main__":
    asyncio.run(main())
