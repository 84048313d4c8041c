"""Each tenant has a budget of its own: one that has used up its own is refused, the others go on."""

import httpx

import resilience
from resilience.testing import fake_provider


def look_up(client: httpx.Client, tenant: str) -> str:
    """What a request handler would do: say for whom, once, around all its calls."""
    with resilience.tags(tenant=tenant):
        answer = client.get("/v1/domain/shop.example")
    return str(answer.headers.get("x-resilience-refused", "sent"))


def main() -> None:
    """Three credits a day for each tenant."""
    with fake_provider("technologychecker") as provider:
        config = {
            "version": 1,
            "providers": {
                "technologychecker": {
                    "hosts": [provider.url.removeprefix("http://")],
                    "budgets": [{"name": "tenants", "limit": "3 credits/day", "per": "tag.tenant"}],
                }
            },
        }
        remove = resilience.on_budget_warning(lambda warning: print("warning:", ", ".join(warning.scopes)))
        with resilience.wrap(httpx.Client(base_url=provider.url), config=config) as client:
            for tenant in ("acme", "acme", "acme", "acme", "globex"):
                print(tenant, look_up(client, tenant))
        remove()


if __name__ == "__main__":
    main()
