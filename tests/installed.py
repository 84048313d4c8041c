"""What an installer would leave of this project, for programs that find plugins by it."""

from __future__ import annotations

import tomllib
from pathlib import Path

__all__ = ["as_installed"]

ROOT = Path(__file__).parent.parent


def as_installed(folder: Path) -> None:
    """Write the project's metadata into a folder of the import path.

    Arguments:
        folder: for a PYTHONPATH, before the checkout.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["pytest11"]
    info = folder / f"httpx_resilience-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: httpx-resilience\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text("[pytest11]\n" + "".join(f"{name} = {points[name]}\n" for name in points))
    (info / "RECORD").write_text("resilience/__init__.py,,\nresilience/_pytest.py,,\n")
