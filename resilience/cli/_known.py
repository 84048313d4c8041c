"""What else retries, or sends HTTP past this library, by the names of distributions, with the advice for each."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["OTHERS", "SDKS", "Other", "Sdk"]


class Sdk(NamedTuple):
    """A provider's own package.

    Arguments:
        host: that it calls by default.
        retries: what it does by itself unless it is told otherwise.
        advice: what to do about that.
    """

    host: str
    retries: str
    advice: str


class Other(NamedTuple):
    """Another package that has to do with calls.

    Arguments:
        what: what it does.
        advice: what to do about that; empty for nothing.
    """

    what: str
    advice: str = ""


_STAINLESS = "leave it: the last answer of a call tells it to stop; max_retries=0 if broken connections matter"
SDKS = {
    "anthropic": Sdk("api.anthropic.com", "max_retries=2", _STAINLESS),
    "cohere": Sdk("api.cohere.com", "max_retries=2", "set max_retries=0: it sends again whatever the last answer says"),
    "google-genai": Sdk(
        "generativelanguage.googleapis.com",
        "none by default",
        "leave retry_options of its http_options unset; where aiohttp is installed, its async calls go through that, not reached",
    ),
    "groq": Sdk("api.groq.com", "max_retries=2", _STAINLESS),
    "mistralai": Sdk("api.mistral.ai", "none by default", "leave its retry_config unset"),
    "openai": Sdk("api.openai.com", "max_retries=2", _STAINLESS),
}
_AROUND = "a loop around calls multiplies ours: take it off calls to hosts of policies"
_PAST = "not reached: calls through it obey no policy"
OTHERS = {
    "httpx-retries": Other("a transport that retries", "take RetryTransport out where a policy speaks of the host"),
    "tenacity": Other("retries around functions", _AROUND),
    "stamina": Other("retries around functions", _AROUND),
    "backoff": Other("retries around functions", _AROUND),
    "requests": Other("HTTP by urllib3", _PAST),
    "urllib3": Other("HTTP with retries of its own", _PAST),
    "aiohttp": Other("HTTP of its own", _PAST),
    "opentelemetry-instrumentation-httpx": Other("spans of attempts, which are enriched"),
    "ddtrace": Other("spans of attempts"),
}
