"""A Django service in one file: its settings, a view that calls a provider, and what its callers get."""

import django
import httpx
from django.conf import settings

import resilience
from resilience.testing import fake_provider

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "resilience.django.ResilienceMiddleware"],
    RESILIENCE={
        "TIMEOUT": 10,
        "DEADLINE_HEADER": "X-Request-Timeout",
        "ATTEMPTS_HEADER": "X-Attempts-Left",
        "TAGS": lambda request: {"tenant": request.headers.get("X-Tenant", "nobody")},
        "ROUTE_TAG": "route",
    },
)
django.setup()

from django.http import HttpRequest, JsonResponse  # noqa: E402  Django wants its settings first
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402

from resilience.django import health  # noqa: E402

client = httpx.Client()


def domain(_request: HttpRequest, name: str) -> JsonResponse:
    """Nothing here speaks of deadlines, retries or tenants: the calls know."""
    client.get(f"{settings.PROVIDER}/v1/domain/{name}").raise_for_status()
    return JsonResponse({"name": name})


urlpatterns = [path("domains/<name>", domain), path("health/calls", health)]


def ask(address: str = "/domains/shop.example", **headers: str) -> None:
    """What a caller of the service sees."""
    answer = Client().get(address, headers={f"X-{name.replace('_', '-')}": value for name, value in headers.items()})
    told = answer.json()
    again = answer.headers.get("Retry-After")
    print(answer.status_code, told.get("code", told.get("status", "-")), f"retry after {again}s" if again else "")


def main() -> None:
    """A caller in a hurry, and a provider that fails until its breaker opens."""
    with fake_provider("technologychecker", script="success, hang 60s, 503, ...") as provider:
        settings.PROVIDER = provider.url
        host = provider.url.removeprefix("http://")
        resilience.install({"version": 1, "providers": {"technologychecker": {"hosts": [host]}}})
        ask(Tenant="acme")
        ask(Tenant="hasty", Request_Timeout="0.5")
        ask(Tenant="patient", Attempts_Left="1")
        ask("/health/calls")
        print(len(provider.requests), "requests have come to the provider")
    client.close()
    resilience.uninstall()


if __name__ == "__main__":
    main()
