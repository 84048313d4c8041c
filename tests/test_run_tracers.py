"""`resilience run` beside the launchers of tracers, in either order: the program is retried, and its spans exist."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.launched import CHECKOUT, Place, busy_provider, script
from tests.rawserver import RawServer, answer, raw_server

CALL = """
import os
import httpx

print(httpx.get(os.environ["PROVIDER"]).status_code)
"""
OPENTELEMETRY = {
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
}
RUN = (sys.executable, "-m", "resilience", "run", "--")
INSTRUMENT = (script("opentelemetry-instrument"),)
# Calls, and starts a program that calls.
BOTH = (
    CALL
    + """
import subprocess, sys
sys.stdout.flush()
subprocess.run([sys.executable, "app.py"], check=True)
"""
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A directory for programs, and a provider that is busy each first time."""
    with busy_provider() as provider:
        yield Place(tmp_path, provider, OPENTELEMETRY)


def statuses_of(text: str) -> list[int]:
    """The statuses of the client spans that a console exporter has written, in their order."""
    decoder = json.JSONDecoder()
    found: list[int] = []
    while (start := text.find("{\n")) >= 0:
        span, end = decoder.raw_decode(text[start:])
        text = text[start + end :]
        if span["kind"] == "SpanKind.CLIENT":
            found.append(span["attributes"]["http.response.status_code"])
    return found


@pytest.mark.parametrize("command", [(*RUN, *INSTRUMENT), (*INSTRUMENT, *RUN)], ids=["run first", "run last"])
def test_opentelemetry_instrument(command: tuple[str, ...], place: Place) -> None:
    """Each attempt is a span, in the program and in what it starts."""
    place.write("app.py", CALL)
    place.write("both.py", BOTH)

    done = place.run(*command, sys.executable, "both.py")

    assert 2 == done.stdout.count("200\n"), done.stderr
    assert ([429, 200] * 2, 4) == (statuses_of(done.stdout), len(place.provider.requests))


def test_a_checkout_on_the_path_has_no_entry_point(place: Place) -> None:
    """There the launcher that came last stays first, also for what the program starts."""
    place.write("app.py", CALL)
    place.write("both.py", BOTH)
    command = (*INSTRUMENT, *RUN, sys.executable, "both.py")

    done = place.run(*command, variables={"PYTHONPATH": str(CHECKOUT)})

    assert 2 == done.stdout.count("200\n"), done.stderr
    assert 4 == len(statuses_of(done.stdout)) == len(place.provider.requests)


def test_who_only_traces_asks_for_no_policies(place: Place) -> None:
    """The installation alone changes nothing, also where a configuration is there."""
    place.write("app.py", CALL)
    config = {"RESILIENCE_CONFIG": str(place.directory / "resilience.yaml")}

    done = place.run(*INSTRUMENT, sys.executable, "app.py", variables=config)

    assert "429\n" in done.stdout, done.stderr
    assert ([429], 1) == (statuses_of(done.stdout), len(place.provider.requests))


def test_opentelemetry_instrument_with_the_variable_alone(place: Place) -> None:
    """RESILIENCE_AUTO is enough there, without `resilience run`."""
    place.write("app.py", CALL)

    done = place.run(*INSTRUMENT, sys.executable, "app.py", variables={"RESILIENCE_AUTO": "1"})

    assert "200\n" in done.stdout, done.stderr
    assert ([429, 200], 2) == (statuses_of(done.stdout), len(place.provider.requests))


def test_a_wrong_configuration_still_ends_the_program(place: Place) -> None:
    """Also where the launcher is called by the tracer, which catches errors."""
    place.write("app.py", CALL)
    place.write("wrong.yaml", "version: 2\n")
    command = ("env", "RESILIENCE_CONFIG=wrong.yaml", *INSTRUMENT, sys.executable, "app.py")

    done = place.run(*RUN, *command)

    assert (2, 0) == (done.returncode, len(place.provider.requests))
    assert "wrong.yaml:1:10: 'version' must be 1, not 2" in done.stderr


@pytest.fixture
def agent() -> Iterator[RawServer]:
    """What ddtrace sends its spans to."""
    with raw_server(answer(200, b'{"rate_by_service": {}}')) as agent:
        yield agent


DDTRACE = pytest.mark.skipif(find_spec("ddtrace") is None, reason="ddtrace has no wheel for this Python or system")


@DDTRACE
@pytest.mark.parametrize("order", ["run first", "run last"])
def test_ddtrace_run(order: str, place: Place, agent: RawServer) -> None:
    """The same, and a `sitecustomize` of the user's own runs once in each Python."""
    place.write("app.py", CALL)
    place.write("own/sitecustomize.py", "import sys; sys.stderr.write('own\\n')")
    command = (*RUN, script("ddtrace-run")) if order == "run first" else (script("ddtrace-run"), *RUN)
    variables = {
        "PYTHONPATH": os.pathsep.join([place.environment["PYTHONPATH"], str(place.directory / "own")]),
        "DD_TRACE_AGENT_URL": agent.url,
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_CRASHTRACKING_ENABLED": "false",
    }

    done = place.run(*command, sys.executable, "app.py", variables=variables)

    assert ("200\n", 2) == (done.stdout, len(place.provider.requests)), done.stderr
    # By ddtrace's own name of the spans of httpx, in MessagePack.
    assert any(b"traces" in seen.head.split(b"\r\n")[0] and b"httpx" in seen.body for seen in agent.requests)
    # `resilience run`, `ddtrace-run` and the program.
    assert 3 == done.stderr.count("own\n")
