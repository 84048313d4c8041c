"""What a web service's own callers notice when its provider hangs, with this library and without: `python benchmarks/outage.py`.

The service is examples/outage/app.py under uvicorn with four workers. The provider is the fake one, in a process of its
own that is stopped (SIGSTOP) in the middle: connections are accepted, and nothing is answered. Requests come at a steady
rate, whether others have been answered or not. Needs the test group of pyproject.toml. Exits with 1 if the service with
this library misses what the documentation says of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import httpx

CHECKOUT = Path(__file__).parent.parent
WORKERS = 4
DEADLINE = 2.0
PHASES = ("healthy", "outage", "after it")


class Seen(NamedTuple):
    """One request of the service's callers."""

    phase: str
    began: float
    seconds: float
    status: int
    retry_after: str | None


class Phase(NamedTuple):
    """What callers saw in one phase."""

    requests: int
    median: float
    p99: float
    statuses: dict[int, int]
    without_retry_after: int
    """Answers of 503 that do not say when to come again."""


class Result(NamedTuple):
    """What callers saw of one way of running the service."""

    phases: dict[str, Phase]
    recovered: float
    """Seconds from the end of the outage until every request was answered well; infinite if that never was."""
    late: float
    """By how many seconds at most this process was late to send: the machine had no time for anybody."""


def free_port() -> int:
    """One that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str], url: str, **variables: str) -> Generator[subprocess.Popen[bytes]]:
    """A process that answers at a URL."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RESILIENCE_")}
    path = os.pathsep.join(filter(None, [str(CHECKOUT), own.get("PYTHONPATH")]))
    process = subprocess.Popen(  # noqa: S603  our own commands
        command,
        env={**own, "PYTHONPATH": path, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(url, timeout=5)
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(command)} does not answer at {url}")
            time.sleep(0.1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def load(url: str, provider: int, rate: float, lengths: tuple[float, ...]) -> tuple[list[Seen], float, float]:
    """Send requests at a rate while the provider answers, hangs, and answers again."""
    seen: list[Seen] = []
    late = 0.0
    edges = [sum(lengths[:number]) for number in range(len(lengths) + 1)]
    async with (
        httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client,
        asyncio.TaskGroup() as group,
    ):
        began = time.monotonic()

        async def one(phase: str) -> None:
            at = time.monotonic()
            try:
                answer = await client.get(url)
                status, retry_after = answer.status_code, answer.headers.get("retry-after")
            except httpx.TransportError:
                status, retry_after = 0, None
            seen.append(Seen(phase, at - began, time.monotonic() - at, status, retry_after))

        number = 0
        for phase, edge in zip(PHASES, edges[1:], strict=True):
            if phase != PHASES[0]:
                os.kill(provider, signal.SIGSTOP if phase == "outage" else signal.SIGCONT)
            while number / rate < edge:
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                late = max(late, time.monotonic() - began - number / rate)
                group.create_task(one(phase))
                number += 1
    return seen, edges[2], late


def measure(rate: float, lengths: tuple[float, ...], *, protected: bool) -> Result:
    """Run the service, and let its provider hang for a while."""
    provider_port, port = free_port(), free_port()
    provider_url, url = f"http://127.0.0.1:{provider_port}", f"http://127.0.0.1:{port}"
    serve = [sys.executable, "-m", "resilience", "fake-provider", "anakin", "--port", str(provider_port)]
    app = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(CHECKOUT / "examples" / "outage")]
    app += ["--port", str(port), "--workers", str(WORKERS), "--log-level", "error"]
    with tempfile.TemporaryDirectory() as directory, running(serve, provider_url) as provider:
        variables = {"ANAKIN_URL": provider_url}
        if protected:
            # The shipped policy, which looks again after half a minute, for users who wait for less.
            policy: dict[str, object] = {
                "version": 1,
                "provider": "anakin",
                "extends": "anakin",
                "breaker": {"open_for": "5s"},
            }
            policy["match"] = {"hosts": [f"127.0.0.1:{provider_port}"]}
            (Path(directory) / "anakin.yaml").write_text(json.dumps(policy))
            config = Path(directory) / "resilience.yaml"
            config.write_text("version: 1\npolicies: [./anakin.yaml]\nshipped: false\n")
            app = [sys.executable, "-m", "resilience", "run", "--config", str(config), "--", *app]
            # What is promised, but for the way of the answer.
            variables["REQUEST_TIMEOUT"] = str(DEADLINE - 0.1)
        with running(app, f"{url}/docs", **variables):
            # All workers have begun, and so have their connections.
            asyncio.run(load_quietly(f"{url}/jobs/1"))
            seen, end, late = asyncio.run(load(f"{url}/jobs/1", provider.pid, rate, lengths))
    bad = [each.began for each in seen if each.phase == PHASES[2] and each.status != 200]
    good = [
        each.began
        for each in seen
        if each.phase == PHASES[2] and each.status == 200 and each.began > max(bad, default=end)
    ]
    return Result({phase: _phase([each for each in seen if each.phase == phase]) for phase in PHASES},
                  min(good) - end if good else float("inf"), late)  # fmt: skip


async def load_quietly(url: str) -> None:
    """Some requests that are not counted."""
    async with httpx.AsyncClient(timeout=60) as client, asyncio.TaskGroup() as group:
        for _ in range(5 * WORKERS):
            group.create_task(client.get(url))


def _phase(seen: list[Seen]) -> Phase:
    times = sorted(each.seconds for each in seen)
    silent = sum(each.status == 503 and each.retry_after is None for each in seen)
    statuses = dict(sorted(Counter(each.status for each in seen).items()))
    return Phase(len(seen), statistics.median(times), times[int(0.99 * (len(times) - 1))], statuses, silent)


def misses(result: Result) -> list[str]:
    """What the service with this library does not do that it should."""
    found: list[str] = []
    outage, after = result.phases["outage"], result.phases["after it"]
    if outage.p99 > DEADLINE + result.late:
        found.append(f"p99 in the outage is {outage.p99:.2f}s, over the deadline of {DEADLINE:g}s")
    if set(outage.statuses) - {200, 503, 504}:
        found.append(f"answers in the outage: {outage.statuses}")
    if 503 not in outage.statuses or outage.without_retry_after:
        found.append(f"{outage.without_retry_after} answers of 503 have no Retry-After: {outage.statuses}")
    if after.statuses.get(200, 0) == 0 or result.recovered == float("inf"):
        found.append("the service has not recovered")
    return found


def main() -> int:
    """Measure both, and show them beside each other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=40.0, help="requests per second")
    parser.add_argument("--seconds", type=float, nargs=3, default=(5.0, 15.0, 20.0), help="the lengths of the phases")
    parser.add_argument("--json", action="store_true", help="figures for machines")
    given = parser.parse_args()
    lengths = tuple(given.seconds)
    results = {name: measure(given.rate, lengths, protected=name == "with") for name in ("without", "with")}
    missed = misses(results["with"])
    if given.json:
        told = {name: {**each._asdict(), "phases": {phase: found._asdict() for phase, found in each.phases.items()}}
                for name, each in results.items()}  # fmt: skip
        print(json.dumps({**told, "missed": missed}, indent=2))
    else:
        print(
            f"{WORKERS} workers, {given.rate:g} requests/s, the provider hangs for {lengths[1]:g}s; deadline {DEADLINE:g}s\n"
        )
        print(f"{'':10}{'phase':12}{'requests':>10}{'median':>10}{'p99':>10}  answers")
        for name, result in results.items():
            for phase, found in result.phases.items():
                answers = ", ".join(f"{count} of {status}" for status, count in found.statuses.items())
                print(f"{name:10}{phase:12}{found.requests:>10}{found.median:>9.3f}s{found.p99:>9.3f}s  {answers}")
            print(f"{name:10}recovered after {result.recovered:.1f}s\n")
        print("\n".join(missed) or "all that the documentation says was seen")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
