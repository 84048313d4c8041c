"""The log as JSON, one object for each line: what a log store wants."""

import json
import logging.config

import httpx

import resilience
from resilience.testing import fake_provider


class JsonLines(logging.Formatter):
    """The message, and beside it the decision as data."""

    def format(self, record: logging.LogRecord) -> str:
        """One object in one line."""
        line = {"time": self.formatTime(record), "level": record.levelname, "logger": record.name}
        return json.dumps({**line, "message": record.getMessage(), **getattr(record, "resilience", {})})


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
    "loggers": {
        "resilience": {"level": "INFO", "handlers": ["stdout"], "propagate": False},
        # What refused calls say is in the metrics of this application already.
        "resilience.concurrency": {"level": "ERROR"},
    },
}


def main() -> None:
    """One call to a provider that is busy once."""
    logging.config.dictConfig(LOGGING)
    with fake_provider("anakin", script="429 retry-after 0, success") as provider:
        host = provider.url.removeprefix("http://")
        config = {"version": 1, "providers": {"anakin": {"hosts": [host]}}}
        with resilience.wrap(httpx.Client(base_url=provider.url), config=config) as client:
            client.post("/v1/search", json={"query": "shoes"})


if __name__ == "__main__":
    main()
