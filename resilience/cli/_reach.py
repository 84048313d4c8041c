"""What keeps the launcher out of a program: a Python that is told to look at nothing, or one that is frozen."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from ._autoload_files import PTH

__all__ = ["hindrance_of", "interpreter_of", "isolation"]

# This project's own fixed pattern; it reads a file's name once.
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*t?(?:\.exe)?", re.IGNORECASE)
# What a program of PyInstaller carries behind its bootloader (PyInstaller, bootloader/src/pyi_archive.h).
_FROZEN = b"MEI\014\013\012\013\016"
_SHEBANG_BYTES = 1024
_END_BYTES = 65_536
_BINARIES = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


def hindrance_of(command: Sequence[str]) -> str:
    """Why a program will not obey the policies, in a sentence; empty if nothing is known to stand in the way.

    Arguments:
        command: the program and its arguments.
    """
    found = shutil.which(command[0])
    if found is None:
        return ""
    if _is_frozen(Path(found)):
        return (
            f"{command[0]} is frozen: it holds a Python of its own that reads no PYTHONPATH, so this program will not "
            "obey the policies; call resilience.install() in it"
        )
    python = interpreter_of(command)
    letters = isolation(python)
    if not letters or ("S" not in letters and _has_autoload(python[0])):
        return ""
    named = f"python -{letters}" if python == list(command) else f"{command[0]} starts python -{letters}, which"
    if "S" in letters:
        return f"{named} imports no sitecustomize: this program will not obey the policies"
    return (
        f"{named} reads no PYTHONPATH: this program will not obey the policies, "
        "unless `resilience autoload enable` was run in its environment"
    )


def interpreter_of(command: Sequence[str]) -> list[str]:
    """The Python that a command starts, with its options: itself, or what the first line of a script names.

    Arguments:
        command: the program and its arguments.

    Returns:
        An empty list where it is not known to be a Python.
    """
    if _PYTHON.fullmatch(Path(command[0]).name):
        return list(command)
    found = shutil.which(command[0])
    words = [] if found is None else _shebang(_bytes(Path(found), 0, _SHEBANG_BYTES))
    return words if words and _PYTHON.fullmatch(Path(words[0]).name) else []


def isolation(command: Sequence[str]) -> str:
    """The options of a Python command that keep the launcher out (of E, I and S); empty if there are none."""
    if not command or not _PYTHON.fullmatch(Path(command[0]).name):
        return ""
    found: dict[str, None] = {}
    arguments = iter(command[1:])
    for argument in arguments:
        if argument in {"-", "--"} or not argument.startswith("-"):
            break
        if argument.startswith("--"):
            # The one long option with a value of its own.
            if argument == "--check-hash-based-pycs":
                next(arguments, None)
            continue
        letters = argument[1:]
        # -c and -m end the options; -W and -X take the rest of the word, or the next one.
        end = next((index for index, letter in enumerate(letters) if letter in "cmWX"), len(letters))
        found |= dict.fromkeys(letter for letter in letters[:end] if letter in "EIS")
        if letters[end : end + 1] in {"c", "m"}:
            break
        if end == len(letters) - 1:
            next(arguments, None)
    return "".join(found)


def _shebang(head: bytes) -> list[str]:
    """The words of a script's first line."""
    first, second, *_ = [*head.decode("utf-8", "replace").splitlines(), "", ""]
    if not first.startswith("#!"):
        return []
    words = _words(first[2:])
    if words and Path(words[0]).name == "sh" and second.startswith("'''exec'"):
        # What installers write where the path of the Python is too long, or has blanks.
        words = [word for word in _words(second.removeprefix("'''exec'")) if word not in {"$0", "$@"}]
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if word not in {"-S", "--split-string"} and "=" not in word]
    return words


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _has_autoload(python: str) -> bool:
    """Whether the environment of a Python has what `resilience autoload` writes."""
    found = shutil.which(python)
    return found is not None and any(Path(found).parent.parent.glob(f"lib*/python*/site-packages/{PTH}"))


def _is_frozen(path: Path) -> bool:
    if not _bytes(path, 0, 4).startswith(_BINARIES):
        return False
    try:
        size = path.stat().st_size
    except OSError:
        return False
    return _FROZEN in _bytes(path, max(0, size - _END_BYTES), _END_BYTES)


def _bytes(path: Path, start: int, count: int) -> bytes:
    try:
        # To open a pipe would wait for whoever writes into it.
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            file.seek(start)
            return file.read(count)
    except OSError:
        return b""
