"""The little language in which a fake provider is told what to answer: `429 retry-after 1, drop, 200`.

    script:  steps, separated by commas or new lines; `#` begins a comment; `...` at the end repeats the last step
    step:    one of   429 | rate-limit | rule NAME | success | drop | reset | hang 5s
             any of   retry-after VALUE | header NAME VALUE | body JSON | delay 2s | trickle 100ms | truncate
             and      *3 for three requests
    rates:   429=10%, drop=0.5%

A value with spaces, commas or `#` stands in quotes, as JSON writes them. Parsing and choosing are pure.
"""

from __future__ import annotations

import difflib
import json
import re
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal, NoReturn

from ._finding import ALIKE
from ._units import parse_duration
from .errors import ConfigurationError

__all__ = ["SENDABLE", "Rates", "Script", "Step", "header_fault", "parse_rates", "parse_script"]

SENDABLE = range(200, 600)
"""The statuses that a server can end a request with (RFC 9110 section 15)."""

_ANSWERS = ("success", "rule", "drop", "reset", "hang")
_OPTIONS = ("retry-after", "header", "body", "delay", "trickle", "truncate")
# This project's own fixed patterns; each reads its text once, without going back.
_WORD = re.compile(r'[^\s,#"*={]+')
_VALUES = {"script": re.compile(r'[^\s,#"]+'), "rates": re.compile(r'[^\s,#"=]+')}
_TIMES = re.compile(r"[0-9]{1,7}(?![^\s,#])")
_SHARE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?%")
_BLANK = re.compile(r"[^\S\n]*(?:#[^\n]*)?")
_BETWEEN = re.compile(r"(?:\s|#[^\n]*)*")
# RFC 9110 section 5.6.2 (token) and 5.5 (field content, with obs-text).
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTENT = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = frozenset({"content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one request gets; without status, rule and fault the documented success."""

    text: str = ""
    """The step as it was written."""
    status: int | None = None
    rule: str | None = None
    fault: Literal["drop", "reset"] | None = None
    """How the connection ends instead of an answer: closed, or reset."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers that take the place of the documented ones of the same names."""
    body: str | None = None
    """A JSON text that takes the place of the documented body."""
    delay: float = 0.0
    """Seconds before anything is sent."""
    trickle: float | None = None
    """Seconds between the pieces of the body."""
    truncate: bool = False
    """Close before all is sent that the headers promise."""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Script:
    """The steps, one for each request in the order of arrival."""

    steps: tuple[Step, ...] = ()
    repeats: bool = False
    """Whether the last step answers every request that follows."""

    def step(self, number: int) -> Step | None:
        """The step for a request, counted from 0; `None` once the script is over."""
        index = bisect_right([*accumulate(step.times for step in self.steps)], number)
        if index < len(self.steps):
            return self.steps[index]
        return self.steps[-1] if self.repeats else None


@dataclass(frozen=True, slots=True)
class Rates:
    """Steps by chance, each with the share of requests that get it."""

    shares: tuple[tuple[Step, float], ...] = ()

    def step(self, chance: float) -> Step | None:
        """The step for a request; `None` for the success that most requests get.

        Arguments:
            chance: a number from 0 up to, not including, 1.
        """
        index = bisect_right([*accumulate(share for _, share in self.shares)], chance)
        return self.shares[index][0] if index < len(self.shares) else None


def parse_script(text: str, rules: Collection[str] = ()) -> Script:
    """Read a script.

    Arguments:
        text: the script.
        rules: the names of the rules that a step may ask for.

    Raises:
        ConfigurationError: the text is no script; the message names line, column and step.
    """
    return _Parser("script", text, rules).script()


def parse_rates(text: str, rules: Collection[str]) -> Rates:
    """Read rates: `429=10%, drop=0.5%`.

    Arguments:
        text: the rates.
        rules: the names of the rules that a step may ask for.

    Raises:
        ConfigurationError: the text has no such form, or the shares are more than all.
    """
    return _Parser("rates", text, rules).rates()


def header_fault(name: str, value: str) -> str | None:
    """Why a header cannot be sent, `None` if it can."""
    if not _NAME.fullmatch(name):
        return f"{name[:40]!r} is no name of a header"
    if not _CONTENT.fullmatch(value):
        return f"the value of {name} has characters that no header can carry"
    return None


class _Parser:
    """One pass over a text; `_at` is where it reads, `_end` where the last word ended."""

    def __init__(self, name: str, text: str, rules: Collection[str]) -> None:
        self._name = name
        self._text = text
        self._rules = rules
        self._number = 1
        self._at = self._end = 0
        self._given: dict[str, str] = {}

    def script(self) -> Script:
        steps: list[Step] = []
        while self._next_step():
            if self._starts("..."):
                if not steps:
                    self._fail(self._at, "there is no step before '...' to repeat", "write it after the last step")
                self._go(self._at + 3)
                self._take(_BETWEEN)
                if self._at < len(self._text):
                    self._fail(self._at, "something follows '...'", "it repeats the last step and ends the script")
                return Script(tuple(steps), repeats=True)
            step = self._read_step()
            if self._starts("*"):
                step = replace(step, times=self._read_times())
            steps.append(step)
            self._end_step()
        return Script(tuple(steps))

    def rates(self) -> Rates:
        shares: list[tuple[Step, float]] = []
        while self._next_step():
            step = self._read_step()
            if not self._starts("="):
                self._fail(self._at, f"{step.text!r} has no share", "write the share of the requests: 429=10%")
            at = self._go(self._at + 1)
            share = self._take(_SHARE)
            if share is None or float(share[:-1]) > 100:
                self._fail(at, "this is no share", "write a number from 0 to 100 with '%': 429=10%, drop=0.5%")
            shares.append((step, float(share[:-1]) / 100))
            if sum(share for _, share in shares) > 1 + 1e-9:
                self._fail(at, "the shares are more than 100% together", "what they leave of it gets the success")
            self._end_step()
        return Rates(tuple(shares))

    def _read_step(self) -> Step:
        start, step, self._given = self._at, Step(), {}
        while not self._starts("...") and (word := self._take(_WORD)) is not None:
            step = replace(step, **self._read_word(word, self._end - len(word), step))
        if self._at == start:
            self._fail(start, f"a step cannot begin with {self._text[start]!r}", _forms())
        if step.fault and (step.headers or step.body is not None or step.truncate or step.trickle is not None):
            self._fail(start, f"{self._given['answer']!r} answers nothing", "remove what describes the answer")
        return replace(step, text=self._text[start : self._end])

    def _read_word(self, word: str, at: int, step: Step) -> dict[str, Any]:
        """What a word and its values change in the step."""
        kind = word if word in _OPTIONS else "answer"
        if kind in self._given and kind not in {"header", "retry-after"}:
            self._unknown(word, at, f"comes after {self._given[kind]!r}, and a step has only one {kind}")
        self._given[kind] = word
        changes: dict[str, Any] = {}
        match word:
            case "success" | "truncate":
                changes = {"truncate": step.truncate or word == "truncate"}
            case "drop" | "reset":
                changes = {"fault": word}
            case "delay":
                changes = {"delay": step.delay + self._duration(word)}
            case "hang":
                changes = {"delay": step.delay + self._duration(word), "fault": "drop"}
            case "trickle":
                changes = {"trickle": self._duration(word)}
            case "body":
                changes = {"body": self._json()}
            case "header" | "retry-after":
                changes = {"headers": (*step.headers, self._header(word))}
            case _ if word.isascii() and word.isdigit():
                changes = {"status": self._status(word, at)}
            case _:
                changes = {"rule": self._rule(word, at)}
        return changes

    def _status(self, word: str, at: int) -> int:
        if len(word) != 3 or int(word) not in SENDABLE:
            self._fail(at, f"{word[:20]} is no status that a request can end with", "write one from 200 to 599")
        return int(word)

    def _rule(self, word: str, at: int) -> str:
        if word == "rule":
            at = self._at
            word = self._value(word, "the name of a rule")
        if word not in self._rules:
            self._unknown(word, at, "is neither a word of this language nor a rule with an example")
        return word

    def _header(self, word: str) -> tuple[str, str]:
        at = self._at
        name = "Retry-After" if word == "retry-after" else self._value(word, "a name and a value")
        value = self._value(name, "a value")
        if name.lower() in _FRAMING:
            self._fail(at, f"{name} is written by the server", "use 'truncate' for a wrong length")
        if fault := header_fault(name, value):
            self._fail(at, fault, "see RFC 9110 section 5")
        return name, value.strip(" \t")

    def _duration(self, word: str) -> float:
        at = self._at
        value = self._value(word, "a duration")
        try:
            return parse_duration(value)
        except ValueError as error:
            self._fail(at, f"{word!r} takes a duration", str(error))

    def _value(self, word: str, wanted: str) -> str:
        if self._starts('"'):
            return str(json.loads(self._json()))
        value = self._take(_VALUES[self._name])
        if value is None:
            self._fail(self._at, f"{word!r} takes {wanted}", "a value with spaces, commas, '#' or '=' stands in quotes")
        return value

    def _json(self) -> str:
        """The JSON text at this place, as it is written."""
        start = self._at
        try:
            _, end = json.JSONDecoder(parse_constant=_refuse).raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            self._fail(error.pos, f"this is no JSON: {error.msg}", 'write it as in: body {"error": "busy"}')
        except (ValueError, RecursionError) as error:
            self._fail(start, f"this is no JSON that can be read: {error}", "use a simpler body")
        self._go(end)
        return self._text[start:end]

    def _read_times(self) -> int:
        at = self._at
        self._go(at + 1)
        times = self._take(_TIMES)
        if times is None or not 1 <= int(times) <= 1_000_000:
            self._fail(at, "'*' takes the number of requests", "write a whole number from 1 to 1000000: 429 *3")
        return int(times)

    def _next_step(self) -> bool:
        """Go to the next step; `False` at the end of the text."""
        self._take(_BETWEEN)
        if self._starts(","):
            self._fail(self._at, "the step is empty", "remove a comma, or write 'success'")
        return self._at < len(self._text)

    def _end_step(self) -> None:
        if self._starts(","):
            self._go(self._at + 1)
        elif self._at < len(self._text) and not self._starts("\n") and not self._starts("..."):
            self._fail(self._at, f"{self._text[self._at]!r} stands where the step should end", _forms())
        self._number += 1

    def _starts(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        """The text that fits the pattern at this place; goes on to what follows it."""
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._go(found.end())
        return found[0]

    def _go(self, end: int) -> int:
        """Go on after a word that ended there, past blanks and a comment on the same line."""
        blank = _BLANK.match(self._text, end)
        self._end, self._at = end, blank.end() if blank else end
        return self._at

    def _unknown(self, word: str, at: int, message: str) -> NoReturn:
        near = difflib.get_close_matches(word[:60].lower(), [*_ANSWERS, *_OPTIONS, *self._rules], n=1, cutoff=ALIKE)
        hint = f"did you mean {near[0]!r}? " if near and near[0] != word else ""
        rules = f"; the rules are {', '.join(self._rules)}" if self._rules and not near else ""
        self._fail(at, f"{word[:60]!r} {message}", f"{hint}{_forms()}{rules}")

    def _fail(self, at: int, message: str, remedy: str) -> NoReturn:
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        raise ConfigurationError(f"{self._name}:{line}:{column}: step {self._number}: {message} ({remedy})")


def _forms() -> str:
    answers = ", ".join(_ANSWERS)
    return f"a step is a status, the name of a rule, or one of {answers}, with {', '.join(_OPTIONS)}; a comma ends it"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
