"""The library in an archive on the import path, as `zipapp` and Spark's `--py-files` have it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from resilience._shipped import shipped_names
from tests.launched import CHECKOUT

PROGRAM = """
import httpx, resilience
from resilience._shipped import shipped_names
from resilience.stores._lua import lua_named

assert ".zip" in resilience.__file__, resilience.__file__
assert lua_named("bucket.reserve").text
client = resilience.wrap(httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={}))))
print(resilience.trail_of(client.get("https://api.anakin.io/v1/search")).provider, *shipped_names())
"""


def test_shipped_policies_apply_from_an_archive(tmp_path: Path) -> None:
    """There is no directory to look into, and a host without its policy would be called without a word."""
    archive = tmp_path / "library.zip"
    with ZipFile(archive, "w") as zipped:
        for path in (CHECKOUT / "resilience").rglob("*"):
            if path.suffix in {".py", ".lua"}:
                zipped.write(path, path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "policies").glob("*.yaml"):
            zipped.write(path, f"resilience/policies/{path.name}")

    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(archive)},
        capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip

    assert (f"anakin {' '.join(shipped_names())}\n", "") == (ended.stdout, ended.stderr)
