"""A Flask service that passes on what its callers leave it, and answers for a provider that is not there."""

from typing import Any

import flask
import httpx

import resilience
from resilience.flask import Resilience
from resilience.testing import fake_provider

app = flask.Flask("service")
Resilience(
    app,
    timeout=10,
    deadline_header="X-Request-Timeout",
    attempts_header="X-Attempts-Left",
    tag_headers={"tenant": "X-Tenant"},
    route_tag="route",
    health="/health/calls",
)
client = httpx.Client()


@app.get("/domains/<name>")
def domain(name: str) -> dict[str, Any]:
    """Nothing here speaks of deadlines, retries or tenants: the calls know."""
    client.get(f"{app.config['PROVIDER']}/v1/domain/{name}").raise_for_status()
    return {"name": name}


def ask(**headers: str) -> None:
    """What a caller of the service sees."""
    given = {f"X-{name.replace('_', '-')}": value for name, value in headers.items()}
    answer = app.test_client().get("/domains/shop.example", headers=given)
    again = answer.headers.get("Retry-After")
    print(answer.status_code, (answer.json or {}).get("code", "-"), f"retry after {again}s" if again else "")


def main() -> None:
    """A tenant with a call a day, a caller in a hurry, and a provider that fails."""
    with fake_provider("technologychecker", script="success, hang 60s, 503, ...") as provider:
        app.config["PROVIDER"] = provider.url
        host = provider.url.removeprefix("http://")
        budgets = [{"name": "tenants", "limit": "1 requests/day", "per": "tag.tenant", "warn_at": None}]
        resilience.install({"version": 1, "providers": {"technologychecker": {"hosts": [host], "budgets": budgets}}})
        ask(Tenant="acme")
        ask(Tenant="acme")
        ask(Tenant="hasty", Request_Timeout="0.5")
        ask(Tenant="patient", Attempts_Left="1")
        print(len(provider.requests), "requests have come to the provider")
    client.close()
    resilience.uninstall()


if __name__ == "__main__":
    main()
