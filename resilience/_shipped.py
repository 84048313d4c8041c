"""Finds policy files, and reads files; imports neither pydantic nor a parser."""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path

from ._document import LARGEST_FILE
from ._finding import ALIKE
from ._stamps import note
from .errors import ConfigurationError

__all__ = ["find_policy", "read_file", "shipped_directory", "shipped_names"]

_ENDINGS = (".yaml", ".yml")
_HERE = Path()


def shipped_directory() -> Path:
    """Where the shipped policies stand: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside, beside = package / "policies", package.parent / "policies"
    # In an archive neither is a directory.
    return beside if not inside.is_dir() and beside.is_dir() else inside


def shipped_names() -> tuple[str, ...]:
    """The names of the shipped policies, sorted."""
    try:
        names = os.listdir(shipped_directory())  # noqa: PTH208  a tenth of the time of a Path, at each load by name
    except OSError:
        names = _archived_names()
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def _archived_names() -> list[str]:
    """The files beside this module in an archive that Python imports from; none if it is not in one."""
    from importlib.resources import files

    try:
        return [each.name for each in (files("resilience") / "policies").iterdir()]
    except (OSError, ValueError):
        return []


def _archived(path: Path) -> bytes | None:
    """The bytes of a shipped policy in an archive; `None` for all else."""
    if path.parent != shipped_directory():
        return None
    from importlib.resources import files

    try:
        return (files("resilience") / "policies" / path.name).read_bytes()
    except (OSError, ValueError, KeyError):
        return None


def find_policy(name_or_path: str | os.PathLike[str], directory: Path = _HERE) -> Path:
    """The file of a policy: a shipped one by its name, any other by its path from a directory.

    Raises:
        ConfigurationError: there is no shipped policy of that name.
    """
    is_path = not isinstance(name_or_path, str) or name_or_path.endswith(_ENDINGS)
    if isinstance(name_or_path, os.PathLike) or is_path or "/" in name_or_path or os.sep in name_or_path:
        return directory / name_or_path
    names = shipped_names()
    if name_or_path in names:
        return shipped_directory() / f"{name_or_path}.yaml"
    near = difflib.get_close_matches(name_or_path[:64], names, cutoff=ALIKE)
    hint = f"did you mean {' or '.join(near)}?" if near else "a file is named by a path that ends in .yaml"
    raise ConfigurationError(f"there is no shipped policy {name_or_path[:64]!r}; {hint}")


def read_file(path: Path) -> bytes:
    """The bytes of a regular file, one more than is allowed at most: a device or a pipe could go on for ever."""
    note(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                content = file.read(LARGEST_FILE + 1)
            note(path, content)
            return content
    except (OSError, ValueError) as error:
        archived = _archived(path)
        if archived is not None:
            return archived
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{str(path)!r} cannot be read: {why}; check its name and rights") from None
    kind = "a directory" if stat.S_ISDIR(mode) else "a device or a pipe"
    raise ConfigurationError(f"{str(path)!r} is {kind}; name a file")
