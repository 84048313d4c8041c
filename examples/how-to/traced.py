"""One call of an application that traces, drawn as a tree."""

import httpx
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import resilience
from resilience.testing import fake_provider

# An application sends its spans away, with a BatchSpanProcessor and the OTLPSpanExporter; here they are kept.
spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)

with fake_provider("anakin", script="429 retry-after 1, queue-error, 202") as anakin:
    client = resilience.wrap(httpx.Client(base_url=anakin.url), policies=[anakin.policy])
    with client, trace.get_tracer("shop").start_as_current_span("checkout"):
        client.post("/v1/url-scraper", json={"url": "https://example.com"})


def draw(parent: int | None, indent: str) -> None:
    """Print the spans below one, in the order in which they began."""
    for span in sorted(spans.get_finished_spans(), key=lambda span: span.start_time):
        if (span.parent.span_id if span.parent else None) == parent:
            said = [f"{name}={value}" for name, value in span.attributes.items() if name in SHOWN]
            print(f"{indent}{span.kind.name} {span.name}  {', '.join(said)}")
            draw(span.context.span_id, f"{indent}    ")


SHOWN = {
    "http.response.status_code",
    "http.request.resend_count",
    "error.type",
    "resilience.outcome",
    "resilience.waits",
}
draw(None, "")
