"""A program that runs obeys a changed resilience.yaml: here it writes the file itself, as your deployment would."""

import logging
import tempfile
import time
from pathlib import Path

import httpx

import resilience

BEFORE = "version: 1\nreload: 100ms\n"
AFTER = BEFORE + "mode: {limiter: observe}\n"


def main() -> None:
    """Change a file in a directory of its own, which is removed at the end."""
    with tempfile.TemporaryDirectory() as directory:
        watch(Path(directory, "resilience.yaml"))


def watch(path: Path) -> None:
    """Call until the new file is obeyed; then write one with a mistake, and see that it is not."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("resilience.config").setLevel(logging.INFO)
    heard: list[logging.LogRecord] = []
    logging.getLogger("resilience.config").addFilter(lambda record: heard.append(record) or True)

    path.write_text(BEFORE)
    resilience.install(path)
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        for lines, text in ((1, AFTER), (2, BEFORE + "mode: {limter: observe}\n")):
            path.write_text(text)
            while len(heard) < lines:
                client.get("https://api.anakin.io/v1/search")
                time.sleep(0.05)


if __name__ == "__main__":
    main()
