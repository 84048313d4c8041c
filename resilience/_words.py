"""How numbers and the texts of strangers are written for people."""

from __future__ import annotations

__all__ = ["brief", "printable", "seconds_text"]

# A line of a log or a trail is read by a person.
_LONGEST = 500


def seconds_text(seconds: float) -> str:
    """Seconds for people, three digits of them: `0.0312s`, `2.12s`, `86400s`."""
    return f"{seconds:.0f}s" if seconds >= 100 else f"{seconds:.3g}s"


def printable(text: str) -> str:
    """A text in one line, of bounded length, without anything that could begin a line or move a terminal's cursor.

    Arguments:
        text: what a provider, a policy or an application has written.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 1]}…"
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def brief(value: object) -> str:
    """A value that cannot be honoured, as an error shows it: sixty characters of it at most.

    Arguments:
        value: what an application has given.
    """
    try:
        return f"{value!r:.60}"
    except ValueError:
        # Python refuses to write it, also one in a list.
        return "a number of very many digits"
