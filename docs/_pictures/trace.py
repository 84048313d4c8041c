"""Makes docs/assets/trace.png: a call that was sent three times, as a tracing backend shows it in a real browser.

It needs what the project itself does not: `pip install 'agentmesh-ai[otlp]' playwright opentelemetry-sdk
opentelemetry-exporter-otlp-proto-http`, and a Chromium (`apt install chromium`). Then: `python docs/_pictures/trace.py`.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import httpx
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import resilience
from resilience.testing import fake_provider

PICTURE = Path(__file__).parent.parent / "assets" / "trace.png"
CALLER = "import products"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def call(backend: str) -> None:
    """A program's own span, and within it a call to a busy provider."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{backend}/v1/traces")))
    trace.set_tracer_provider(provider)
    with fake_provider("anakin", script="429 retry-after 1, queue-error, 202") as anakin:
        config = {"version": 1, "providers": {"anakin": {"hosts": [anakin.url.removeprefix("http://")]}}}
        client = resilience.wrap(httpx.Client(base_url=anakin.url), config=config)
        with client, trace.get_tracer("shop").start_as_current_span(CALLER, kind=trace.SpanKind.SERVER):
            client.post("/v1/url-scraper", json={"url": "https://shop.example"})
    provider.shutdown()


def read(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own server
        return json.load(answer)


def take(backend: str) -> None:
    """Look at the trace as a person would."""
    from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(backend)
        page.get_by_role("button", name="Traces").first.click(force=True)
        page.locator("tr", has_text=CALLER).first.click()
        page.get_by_text("Timeline").first.wait_for()
        page.wait_for_timeout(1000)
        page.screenshot(path=PICTURE, clip={"x": 210, "y": 500, "width": 1070, "height": 330})
        browser.close()


def main() -> int:
    """Start the backend, send it a trace, read it back, take the picture."""
    program = shutil.which("agentmesh") or str(Path(sys.executable).with_name("agentmesh"))
    port = free_port()
    backend = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "dashboard", "--host", "127.0.0.1", "--port", str(port)]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
            try:
                for _ in range(200):
                    try:
                        read(f"{backend}/api/traces")
                        break
                    except OSError:
                        time.sleep(0.2)
                call(backend)
                while not (shown := [each for each in read(f"{backend}/api/traces") if each["name"] == CALLER]):
                    time.sleep(0.2)
                (found,) = shown
                spans = read(f"{backend}/api/traces/{found['trace_id']}/spans")
                print(*sorted(f"{span['span_kind']} {span['name']}" for span in spans), sep="\n")
                take(backend)
            finally:
                started.terminate()
    print(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
