"""`resilience autoload`: every Python of this environment obeys the policies where RESILIENCE_AUTO is 1, without `run`."""

from __future__ import annotations

import os
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

import typer

from ._autoload_files import contents
from ._options import Json
from ._output import fail, say, say_json

__all__ = ["EXAMPLES", "disable", "enable", "is_enabled", "status"]

EXAMPLES = {
    "enable": "resilience autoload enable && RESILIENCE_AUTO=1 python app.py",
    "disable": "resilience autoload disable",
    "status": "resilience autoload status --json",
}
_VARIABLE = "RESILIENCE_AUTO"


def enable() -> None:
    """Write what every Python of this environment reads at its start; it does nothing unless RESILIENCE_AUTO is 1.

    Also python -I and -E read it, which `resilience run` does not reach. Exit code: 0, or 2 if the files cannot be
    written.
    """
    folder = _folder()
    texts = contents()
    was_enabled = is_enabled(folder)
    for name, text in texts.items():
        # Whole or not at all: a Python may start meanwhile.
        half = folder / f"{name}.{os.getpid()}"
        try:
            half.write_text(text, encoding="utf-8")
            half.replace(folder / name)
        except OSError as error:
            with suppress(OSError):
                half.unlink(missing_ok=True)
            fail(f"{folder / name} cannot be written: {error.strerror}; run this as the owner of the environment")
    say(f"{'already enabled' if was_enabled else 'enabled'} in {folder}")
    say(f"set {_VARIABLE}=1, and RESILIENCE_CONFIG if the configuration is not ./resilience.yaml")


def disable() -> None:
    """Remove what `enable` has written.

    Exit code: 0, also if there was nothing; 2 if the files cannot be removed.
    """
    folder = _folder()
    was_there = False
    # The module last: what calls it must not outlive it.
    for name in reversed(contents()):
        try:
            (folder / name).unlink()
            was_there = True
        except FileNotFoundError:
            continue
        except OSError as error:
            fail(f"{folder / name} cannot be removed: {error.strerror}; run this as the owner of the environment")
    say(f"{'disabled' if was_there else 'not enabled'} in {folder}")


def status(*, json: Json = False) -> None:
    """Tell whether it is enabled in this environment, and whether the variable is set.

    Exit code: 0 if it is enabled, 1 if not, or if the files are those of another version.
    """
    folder = _folder()
    enabled, value = is_enabled(folder), os.environ.get(_VARIABLE)
    there = [name for name in contents() if (folder / name).is_file()]
    state = "enabled" if enabled else "outdated" if there else "disabled"
    if json:
        say_json({"state": state, "folder": folder, "files": there, "python": sys.executable, _VARIABLE: value})
    else:
        say(f"{state} in {folder}" + ("; run `resilience autoload enable` again" if state == "outdated" else ""))
        say(f"{_VARIABLE} is {'not set' if value is None else value}")
    raise typer.Exit(0 if enabled else 1)


def is_enabled(folder: Path | None = None) -> bool:
    """Whether an environment has the files of this version, whole.

    Arguments:
        folder: where its packages are; by default this environment's.
    """
    try:
        return all(((folder or _folder()) / name).read_text("utf-8") == text for name, text in contents().items())
    except (OSError, ValueError):
        return False


def _folder() -> Path:
    return Path(sysconfig.get_path("purelib"))
