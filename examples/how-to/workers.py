"""Four processes share one limit through a file: together they send what the provider allows, and no more."""

import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import httpx

import resilience
from resilience.testing import fake_provider

SECONDS = 3.0


def work(url: str, config: dict[str, Any], start: Barrier) -> None:
    """Fetch pages as fast as it goes for three seconds, beginning when all workers are there."""
    with resilience.wrap(httpx.Client(base_url=url, headers={"X-API-Key": "one key"}), config=config) as client:
        client.get("/healthz")  # connects; it needs no key, so the limit does not count it
        start.wait()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            client.get("/fetch")


def main() -> None:
    """Start four workers, and count what reaches the provider."""
    with fake_provider("55-tech") as provider, tempfile.TemporaryDirectory() as directory:
        host = provider.url.removeprefix("http://")
        config = {
            "version": 1,
            "store": f"sqlite:///{Path(directory, 'limits.db')}",
            "providers": {"55-tech": {"hosts": [host]}},
        }
        context = multiprocessing.get_context("spawn")
        start = context.Barrier(4)
        workers = [context.Process(target=work, args=(provider.url, config, start)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        sent = [request.at for request in provider.requests if request.path == "/fetch"]

    took = sent[-1] - sent[0]
    print(f"{len(sent)} requests in {took:.1f}s: a burst of 10, then {(len(sent) - 10) / took:.1f} a second")


if __name__ == "__main__":
    main()
