"""An application as it is: a client of its own, for a real provider; `install` may as well come from `resilience run`."""

import httpx

import resilience

resilience.install({"version": 1})
client = httpx.Client(base_url="https://api.anakin.io", headers={"X-API-Key": "a key"})


def search(prompt: str) -> str:
    """Its own function, which gives up where the provider does."""
    answer = client.post("/v1/search", json={"prompt": prompt})
    return "later" if answer.status_code == 429 else "found"
