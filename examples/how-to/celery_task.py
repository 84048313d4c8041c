"""A task of Celery that is put off: its worker is free meanwhile, and none of its retries is spent."""

import time

import httpx
from celery import Celery, Task
from celery.contrib.testing.worker import start_worker

import resilience.celery
from resilience.testing import fake_provider

app = Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.broker_transport_options = {"polling_interval": 0.1}
resilience.celery.install(app, worker_seconds=3)


@app.task(bind=True)
def search(task: Task, url: str, prompt: str) -> str:
    """An ordinary task: it raises what went wrong, and knows nothing of being put off."""
    with httpx.Client(base_url=url) as client:
        client.post("/v1/search", json={"prompt": prompt}).raise_for_status()
    return f"done, with {task.request.retries} retries"


@app.task
def other() -> str:
    """Another task, for the same worker."""
    return "something else was done meanwhile"


def main() -> None:
    """Send a search to a provider that asks for five seconds, where a worker may wait for three."""
    with fake_provider("anakin", script="429 retry-after 5, success") as provider:
        resilience.install({"version": 1, "providers": {"anakin": {"hosts": [provider.url.removeprefix("http://")]}}})
        with start_worker(app, pool="solo", perform_ping_check=False):
            found = search.delay(provider.url, "httpx")
            while not provider.requests and not found.ready():
                time.sleep(0.01)
            print(other.delay().get(timeout=30))
            print(found.get(timeout=30))
        first, second = provider.requests
    print("five seconds lay between the requests:", second.at - first.at >= 5)


if __name__ == "__main__":
    main()
