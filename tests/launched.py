"""Real programs under `resilience run`, and a provider that counts what they send it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

import resilience
from tests.rawserver import RawServer, answer, raw_server
from tests.servers import free_port

__all__ = ["BUSY", "CHECKOUT", "FINE", "SECONDS", "Place", "Server", "busy_once", "busy_provider", "script"]

CHECKOUT = Path(resilience.__file__).parent.parent
BUSY = answer(429, b"{}", "Retry-After: 0", "Connection: close")
FINE = answer(200, b"{}", "Connection: close")
SECONDS = 60
POLICY = """\
version: 1
provider: local
match: {{hosts: ["{host}"]}}
retry: {{max_attempts: 3, longest_wait: 1h, backoff: {{initial: 1ms, max: 1ms}}, budget: {{off: true}}}}
"""


@contextlib.contextmanager
def busy_provider() -> Iterator[RawServer]:
    """A provider that is busy each first time: 429, 200, 429, 200 and so on."""
    with raw_server(*[BUSY, FINE] * 500) as server:
        yield server


@contextlib.contextmanager
def busy_once() -> Iterator[RawServer]:
    """A provider that is busy the first time, and never again."""
    with raw_server(answer(429, b"{}", "Retry-After: 0"), answer(200, b"{}")) as server:
        yield server


def script(name: str) -> str:
    """The path of a command that a package has brought for this Python."""
    return str(Path(sys.executable).parent / name)


@dataclass
class Place:
    """A directory with a configuration for one provider, and programs in it.

    Arguments:
        directory: where.
        provider: whom the programs call.
        variables: what they find in their environment besides.
    """

    directory: Path
    provider: RawServer
    variables: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.write("local.yaml", POLICY.format(host=self.provider.url.removeprefix("http://")))
        self.write("resilience.yaml", "version: 1\npolicies: [./local.yaml]\nshipped: false\n")
        # What an installation has and a checkout on the path has not.
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
        groups = {"console_scripts": project["scripts"], **project["entry-points"]}
        lines = [line for group, entries in groups.items()
                 for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))]  # fmt: skip
        self.write("installed/httpx_resilience-0.dist-info/entry_points.txt", "\n".join(lines))
        metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0\n"
        self.write("installed/httpx_resilience-0.dist-info/METADATA", metadata)

    def write(self, name: str, text: str) -> Path:
        """A file of the directory."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    @property
    def environment(self) -> dict[str, str]:
        """What a program finds in its environment."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("RESILIENCE_")}
        path = os.pathsep.join([str(CHECKOUT), str(self.directory / "installed")])
        return {**own, "PYTHONPATH": path, "PROVIDER": self.provider.url, **self.variables}

    @staticmethod
    def launched(*command: object) -> list[str]:
        """The command under `resilience run`."""
        return [sys.executable, "-m", "resilience", "run", "--", *map(str, command)]

    def run(self, *command: object, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """What comes of a whole command."""
        return subprocess.run(
            [*map(str, command)], cwd=self.directory, env={**self.environment, **(variables or {})},
            capture_output=True, encoding="utf-8", timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def launch(self, *command: object, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """What comes of a command under `resilience run`."""
        return self.run(*self.launched(*command), variables=variables)

    @contextlib.contextmanager
    def started(self, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on, and all that it starts; what it says is in the file `log`."""
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.directory, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            # Its workers too, whatever has become of it; how servers say good-bye is their own matter.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextlib.contextmanager
    def serving(self, *command: object) -> Iterator[Server]:
        """An application server under `resilience run`; the word PORT in its command is a free port."""
        port = str(free_port())
        words = [str(word).replace("PORT", port) for word in command]
        with self.started(self.launched(*words)) as process:
            server = Server(f"http://127.0.0.1:{port}", process, self.directory / "log")
            server.wait()
            yield server


@dataclass
class Server:
    """An application that answers with the status that its own call has got, and with its process number."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self) -> tuple[int, int]:
        """The status of the application's call, and which process has made it."""
        answered = httpx.get(self.url, timeout=SECONDS, headers={"Connection": "close"}, trust_env=False)
        assert 200 == answered.status_code, self.log.read_text()
        found = json.loads(answered.text)
        return found["status"], found["pid"]

    def wait(self) -> None:
        """Until it listens."""
        until = time.monotonic() + SECONDS
        while True:
            try:
                httpx.get(f"{self.url}/ready", timeout=SECONDS, trust_env=False)
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < until, self.log.read_text()
                time.sleep(0.02)
            else:
                return

    def get_from(self, processes: int, *, known: set[int] | None = None) -> dict[int, list[int]]:
        """The statuses by process, until so many have answered that are not known already."""
        found: dict[int, list[int]] = {}
        lock = threading.Lock()
        until = time.monotonic() + SECONDS

        def ask() -> None:
            with contextlib.suppress(httpx.TransportError):
                status, pid = self.get()
                with lock:
                    found.setdefault(pid, []).append(status)

        while len(found.keys() - (known or set())) < processes:
            assert time.monotonic() < until, (found, self.log.read_text())
            threads = [threading.Thread(target=ask) for _ in range(processes)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return found
