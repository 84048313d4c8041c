"""The main job in half a minute: plain httpx programs against a busy and a paid provider, with `resilience run`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from resilience.testing import fake_provider

PROGRAM = Path(__file__).with_name("scrape.py")
BUDGET = Path(__file__).with_name("budget.py")
# The documented answers of a busy minute: too many requests, a failed queue, then the job.
BUSY = "429 retry-after 1, queue-error, 202, job-pending"


def run(command: list[str], **variables: str) -> int:
    """Run a command against the fake provider and show what it does."""
    print(f"$ {' '.join(Path(part).name if os.sep in part else part for part in command)}", flush=True)
    code = subprocess.run(command, env={**os.environ, **variables}, check=False).returncode
    print(f"(exit code {code})\n", flush=True)
    return code


def main() -> int:
    """Show both."""
    print(f"{PROGRAM.name} is a plain httpx program; the fake provider answers it as anakin documents: {BUSY}\n")
    with fake_provider("anakin", script=BUSY) as provider:
        print("Without:")
        without = run([sys.executable, str(PROGRAM)], ANAKIN_URL=provider.url)
    with fake_provider("anakin", script=BUSY) as provider, tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "resilience.yaml"
        host = provider.url.removeprefix("http://")
        config.write_text(f'version: 1\nproviders:\n  anakin: {{hosts: ["{host}"]}}\n')
        print("With, and not one line changed:")
        command = [sys.executable, "-m", "resilience", "run", "--explain", "--config", str(config), "--"]
        with_it = run([*command, sys.executable, str(PROGRAM)], ANAKIN_URL=provider.url)
        print(f"The provider saw {len(provider.requests)} requests:")
        for request in provider.requests:
            print(f"  {request.at:6.2f}s  {request.method} {request.path} -> {request.status}")
    return 0 if without != 0 and with_it == 0 and spend() else 1


def spend() -> bool:
    """Show a budget that fifty calls at once cannot pass."""
    print(f"\n{BUDGET.name} makes fifty calls at once, for 90 credits in all; a budget allows 10:")
    with fake_provider("technologychecker") as provider, tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "resilience.yaml"
        host = provider.url.removeprefix("http://")
        config.write_text(
            f'version: 1\nproviders:\n  technologychecker:\n    hosts: ["{host}"]\n'
            "    budgets: [{name: demo, limit: 10 credits}]\n"
        )
        command = [sys.executable, "-m", "resilience", "run", "--config", str(config), "--"]
        run([*command, sys.executable, str(BUDGET)], TECHNOLOGYCHECKER_URL=provider.url)
        print(f"The provider saw {len(provider.requests)} requests and charged {provider.charged} credits.")
        return provider.charged == 10


if __name__ == "__main__":
    sys.exit(main())
