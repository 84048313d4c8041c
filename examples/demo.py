"""The main job in half a minute: a plain httpx program against a busy provider, without and with `resilience run`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from resilience.testing import fake_provider

PROGRAM = Path(__file__).with_name("scrape.py")
# The documented answers of a busy minute: too many requests, a failed queue, then the job.
BUSY = "429 retry-after 1, queue-error, 202, job-pending"


def run(command: list[str], url: str) -> int:
    """Run a command against the fake provider and show what it does."""
    print(f"$ {' '.join(Path(part).name if os.sep in part else part for part in command)}", flush=True)
    code = subprocess.run(command, env={**os.environ, "ANAKIN_URL": url}, check=False).returncode
    print(f"(exit code {code})\n", flush=True)
    return code


def main() -> int:
    """Show both."""
    print(f"{PROGRAM.name} is a plain httpx program; the fake provider answers it as anakin documents: {BUSY}\n")
    with fake_provider("anakin", script=BUSY) as provider:
        print("Without:")
        without = run([sys.executable, str(PROGRAM)], provider.url)
    with fake_provider("anakin", script=BUSY) as provider, tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "resilience.yaml"
        host = provider.url.removeprefix("http://")
        config.write_text(f'version: 1\nproviders:\n  anakin: {{hosts: ["{host}"]}}\n')
        print("With, and not one line changed:")
        command = [sys.executable, "-m", "resilience", "run", "--explain", "--config", str(config), "--"]
        with_it = run([*command, sys.executable, str(PROGRAM)], provider.url)
        print(f"The provider saw {len(provider.requests)} requests:")
        for request in provider.requests:
            print(f"  {request.at:6.2f}s  {request.method} {request.path} -> {request.status}")
    return 0 if without != 0 and with_it == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
