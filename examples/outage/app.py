"""A web service that needs a provider: FastAPI and httpx, and one line for the deadline of its own requests."""

import os

import httpx
from fastapi import FastAPI

app = FastAPI()
provider = httpx.AsyncClient(base_url=os.environ["ANAKIN_URL"], headers={"X-API-Key": "a key of mine"})

if timeout := os.environ.get("REQUEST_TIMEOUT"):
    from resilience.asgi import ResilienceMiddleware

    app.add_middleware(ResilienceMiddleware, timeout=float(timeout))


@app.get("/jobs/{job}")
async def job(job: str) -> dict[str, object]:
    """What has become of a job at the provider."""
    answer = await provider.get(f"/v1/url-scraper/{job}")
    answer.raise_for_status()
    return {"job": job, "status": answer.json()["status"]}
