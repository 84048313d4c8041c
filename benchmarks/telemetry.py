"""What telemetry costs per call, beside opentelemetry-instrumentation-httpx: `python benchmarks/telemetry.py`.

All ways of calling take turns in one process, round by round, so that a busy machine is busy for all of them, and the
processor's time is counted, that of the exporter's thread too. Several processes are begun one after the other, since
each has its own luck with memory. What is shown are medians of the rounds' differences and ratios, with the quartiles
beside them. The transport answers at once: nothing but the library's own work is measured.

Needs the test group of pyproject.toml. Exits with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parent.parent
URL = "http://provider.test/things/7"
# In the order of the table: the name, and what it is.
WAYS = {
    "bare": "httpx alone",
    "otel": "httpx, opentelemetry-instrumentation-httpx, SDK, batch processor",
    "off": "resilience, spans: off, nothing of OpenTelemetry imported",
    "none": "resilience, nothing of OpenTelemetry imported",
    "api": "resilience, OpenTelemetry's API imported, no SDK",
    "sdk": "resilience, SDK, batch processor",
    "metrics": "the same, and a provider of meters",
}
MOST_WITHOUT_SDK = 3.0
MOST_BESIDE_OTEL = 0.5
HIDDEN = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry.instrumentation.httpx")


class Application:
    """A process that can call in all ways, and be one without OpenTelemetry for a while."""

    def __init__(self) -> None:
        os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"
        import httpx
        from opentelemetry import trace
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

        class Nowhere(SpanExporter):
            """Throws away what would be sent."""

            def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002  they go nowhere
                return SpanExportResult.SUCCESS

        class Instant(httpx.BaseTransport):
            """Answers at once."""

            def handle_request(self, request: httpx.Request) -> httpx.Response:
                return httpx.Response(200, content=b"{}", request=request)

        def client(transport: Any) -> Any:
            return httpx.Client(transport=transport, headers={"authorization": "Bearer key"})

        self.tracers = TracerProvider()
        self.tracers.add_span_processor(BatchSpanProcessor(Nowhere()))
        self.meters = MeterProvider()
        self._trace: Any = trace
        self._metrics: Any = sys.modules["opentelemetry.metrics._internal"]
        self._modules = {name: importlib.import_module(name) for name in HIDDEN}
        ours = client(with_policy(Instant(), "touched"))
        self._clients: dict[str, Any] = dict.fromkeys(WAYS, ours)
        self._clients |= {"bare": client(Instant()), "otel": client(Instant())}
        self._clients["off"] = client(with_policy(Instant(), "off"))
        HTTPXClientInstrumentor.instrument_client(self._clients["otel"], tracer_provider=self.tracers)

    def round(self, way: str, calls: int) -> float:
        """Microseconds of the processor per call."""
        self._become(way)
        get: Callable[[str], Any] = self._clients[way].get
        for _ in range(10):
            get(URL)
        # No round pays for what another has left in the queue.
        self.tracers.force_flush()
        began = time.process_time()
        for _ in range(calls):
            get(URL)
        return (time.process_time() - began) / calls * 1e6

    def _become(self, way: str) -> None:
        from resilience._hub import Hub

        Hub.listeners = ()
        sys.modules.update(self._modules)
        if way in {"off", "none"}:
            for name in HIDDEN:
                del sys.modules[name]
        elif way in {"api", "sdk", "metrics"}:
            # The instrumentation is another application's.
            del sys.modules[HIDDEN[-1]]
        # Providers can be set but once: the API's own variables let an application be several.
        self._trace._TRACER_PROVIDER = self.tracers if way in {"otel", "sdk", "metrics"} else None  # noqa: SLF001
        self._metrics._METER_PROVIDER = self.meters if way == "metrics" else None  # noqa: SLF001


def with_policy(inner: Any, spans: str) -> Any:
    """The transport with a policy in front of it; the breaker is off, since it is telemetry that is measured."""
    import resilience.httpx
    from resilience import Policy

    policy = Policy.model_validate(
        {
            "version": 1,
            "provider": "provider",
            "match": {"hosts": ["provider.test"]},
            "operations": {"thing": {"path": "/things/{id}"}},
            "breaker": {"off": True},
        }
    )
    return resilience.httpx.Transport(inner, policies=[policy], config={"version": 1, "spans": spans})


def worker(rounds: int, calls: int) -> dict[str, list[float]]:
    """Measure in this process."""
    application = Application()
    ways = list(WAYS)
    found: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(-2, rounds):
        # Whoever comes after a heavy one finds colder caches: each comes first once.
        at = number % len(ways)
        for way in ways[at:] + ways[:at]:
            seconds = application.round(way, calls)
            if number >= 0:
                found[way].append(seconds)
    return found


def measure(processes: int, rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds per call of each way, round by round, of all processes."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    path = os.pathsep.join((str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])))
    for _ in range(processes):
        run = subprocess.run(  # noqa: S603  this very file
            [sys.executable, __file__, "--worker", str(rounds), str(calls)],
            stdout=subprocess.PIPE,
            check=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for way, values in json.loads(run.stdout).items():
            found[way] += values
    return found


def spread(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def judge(found: dict[str, list[float]]) -> list[dict[str, Any]]:
    """What is promised, and what was measured."""

    def over(way: str, base: str) -> list[float]:
        return [one - other for one, other in zip(found[way], found[base], strict=True)]

    beside = [ours / theirs for ours, theirs in zip(over("sdk", "off"), over("otel", "bare"), strict=True)]
    rows = (
        ("without an SDK, nothing imported: µs more than `spans: off`", over("none", "off"), MOST_WITHOUT_SDK),
        ("without an SDK, its API imported: µs more than `spans: off`", over("api", "off"), MOST_WITHOUT_SDK),
        ("with an SDK: our cost, as a part of instrumentation-httpx's", beside, MOST_BESIDE_OTEL),
    )
    return [
        {"what": what, "low": low, "median": middle, "high": high, "target": most, "is_met": middle <= most}
        for what, values, most in rows
        for low, middle, high in [spread(values)]
    ]


def print_tables(found: dict[str, list[float]], targets: list[dict[str, Any]]) -> None:
    """For people."""
    print(f"{'µs per call':<70} median   (quartiles)")
    for way, what in WAYS.items():
        low, middle, high = spread(found[way])
        print(f"{what:<70} {middle:6.1f}   ({low:.1f} … {high:.1f})")
    print(f"\n{'targets':<70} median   (quartiles)       at most")
    for each in targets:
        verdict = "met" if each["is_met"] else "MISSED"
        quartiles = f"({each['low']:.2f} … {each['high']:.2f})"
        print(f"{each['what']:<70} {each['median']:6.2f}   {quartiles:<17} {each['target']:<7} {verdict}")


def main() -> int:
    """Measure, print, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten seconds instead of a minute; less exact")
    parser.add_argument("--json", action="store_true", help="print data instead of a table")
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(worker(*arguments.worker)))
        return 0
    found = measure(*((2, 30, 100) if arguments.quick else (6, 60, 150)))
    targets = judge(found)
    if arguments.json:
        ways = {way: dict(zip(("low", "median", "high"), spread(values), strict=True)) for way, values in found.items()}
        print(json.dumps({"microseconds": ways, "targets": targets}, indent=2))
    else:
        print_tables(found, targets)
    return 0 if all(each["is_met"] for each in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
