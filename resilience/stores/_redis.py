"""State in Redis or Valkey: one call of a Lua script for each decision, by the server's clock, on keys that expire."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import cast

from .._line import Lines
from .._store_url import without_credentials
from .._transactions import Command, Reply, State
from ._errors import StateError, StoreError
from ._lua import Lua, lua_named
from ._redis_client import SENSELESS, Client, cleared
from ._redis_wire import Words

__all__ = ["RedisStore"]

# One more than anybody looks at, so that they see that there are more.
_MOST_SCANNED = 10_001
_AT_ONCE = 500
# Meanwhile the server decides nothing else.
_MOST_IN_CALL = 50
# What a script says of a value that it did not write: of another type, no record, or one without what is read of it.
_FOREIGN = ("WRONGTYPE", "Bad data format", "Missing bytes", "is not of this library", "attempt to ", "bad argument #")
_GLOB = str.maketrans({character: f"\\{character}" for character in "\\*?[]^-"})
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_Call = tuple[Lua, Words]
"""A script, and what follows it: how many keys, the keys, the arguments."""


class RedisStore:
    """States of all machines that use one server or cluster.

    Arguments:
        url: as `limits` names it.
        namespace: what all keys begin with.
        gives_time: the caller's time is used instead of the server's; for tests.

    Raises:
        ConfigurationError: the packages are missing, or the URL cannot be honoured.
    """

    instant = False
    changes = None

    def __init__(self, url: str, namespace: str = "resilience", *, gives_time: bool = False) -> None:
        self.url = without_credentials(url)
        self.lines = Lines()
        self._secret_url = url
        self._prefix = f"{namespace}:"
        self._gives_time = gives_time
        self._client = Client(url)
        self._ahead: float | None = None

    def run(self, command: Command, now: float, /) -> Reply:
        (reply,) = self.run_many([(command, now)])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def tell(self, command: Command, now: float, /) -> None:
        self.run(command, now)

    def run_many(self, batch: Sequence[tuple[Command, float]], /) -> list[Reply | Exception]:
        """Make decisions in one round trip, those on one state in order; what goes wrong with one is its own result.

        Those whose script the server has yet to learn are sent a second time, after the others.

        Raises:
            StoreError: the server cannot be reached.
        """
        groups = self._groups([command.name for command, _ in batch])
        calls = [
            (lua_named(batch[group[0]][0].name), self._words([batch[index] for index in group])) for group in groups
        ]
        replies: dict[int, Reply | Exception] = {}
        for group, answer in zip(groups, self._call_all(calls), strict=True):
            for index, each in zip(group, _each(answer, len(group)), strict=True):
                replies[index] = self._read(each, batch[index][1])
        return [replies[index] for index in range(len(batch))]

    def holds(self, _key: str, /) -> bool:
        return True

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        pattern = (self._prefix + prefix).translate(_GLOB) + "*"
        try:
            # SCAN may tell a key twice (redis.io/commands/scan).
            found = self._client.get().scan_iter(match=pattern, count=_AT_ONCE)
            names = list(dict.fromkeys(islice((_text(each) for each in found), 2 * _MOST_SCANNED)))
        except self._client.errors as error:
            raise self._failure(error) from error
        return self._peek(names[:_MOST_SCANNED])

    def now(self, now: float, /) -> float:
        if self._ahead is None:
            try:
                seconds, microseconds = self._client.get().time()
            except self._client.errors as error:
                raise self._failure(error) from error
            self._ahead = seconds + microseconds / 1_000_000 - now
        return now + self._ahead

    def probe(self) -> None:
        """Make sure that decisions can be made.

        Raises:
            StoreError: they cannot.
        """
        key = f"{self._prefix}probe"
        if _text(self._call(lua_named("probe"), (1, key))) != key:
            raise StoreError("what answers there is no Redis: it does not say what it is told to")

    def close(self) -> None:
        self._client.close()

    def before_fork(self) -> None:
        """Nothing: a child makes connections of its own."""

    def after_fork(self, *, is_child: bool) -> None:
        """Begin anew in a child process."""
        if is_child:
            self._client.after_fork()
            self.lines = Lines()

    def _groups(self, names: Sequence[str]) -> list[list[int]]:
        """Which decisions go into one call of a script."""
        if self._client.is_cluster:
            # A script must keep to the keys of one node.
            return [[index] for index in range(len(names))]
        # Those of one kind, which alone share states, stay in order.
        order = sorted(range(len(names)), key=lambda index: _kind(names[index]))
        runs = (list(run) for _, run in groupby(order, key=names.__getitem__))
        return [run[start : start + _MOST_IN_CALL] for run in runs for start in range(0, len(run), _MOST_IN_CALL)]

    def _words(self, decisions: Sequence[tuple[Command, float]]) -> Words:
        keys = [self._prefix + key for command, _ in decisions for key in command.keys]
        told = [(len(command.keys), command.arguments, *[now] * self._gives_time) for command, now in decisions]
        return (len(keys), *keys, _encode(told))

    def _call(self, lua: Lua, words: Words) -> object:
        (answer,) = self._call_all([(lua, words)])
        if isinstance(answer, StoreError):
            raise answer
        return answer

    def _call_all(self, calls: Sequence[_Call]) -> list[object]:
        """The answers in one round trip; an error where one has failed."""
        try:
            answers = self._client.call_all([("EVALSHA", lua.digest, *words) for lua, words in calls])
            # The first time, and after every restart of the server. What it does not know has done nothing.
            unknown = [index for index, answer in enumerate(answers) if isinstance(answer, self._client.no_script)]
            if unknown:
                again = [("EVAL", calls[index][0].text, *calls[index][1]) for index in unknown]
                for index, answer in zip(unknown, self._client.call_all(again), strict=True):
                    answers[index] = answer
        except self._client.errors as error:
            raise self._failure(error) from error
        return [self._failure(answer) if isinstance(answer, Exception) else answer for answer in answers]

    def _peek(self, names: list[str]) -> Iterator[tuple[str, State]]:
        # Keys of several providers stand on several nodes of a cluster; a script must keep to one.
        at_once = 1 if self._client.is_cluster else _MOST_IN_CALL
        groups = [names[start : start + at_once] for start in range(0, len(names), at_once)]
        peek = lua_named("peek")
        for group in groups:
            texts = cast("list[object]", self._call(peek, (len(group), *group)))
            for name, text in zip(group, texts, strict=True):
                state = json.loads(_text(text) or "null")
                if isinstance(state, dict):
                    yield name[len(self._prefix) :], state

    def _read(self, answer: object, now: float) -> Reply | StoreError:
        if isinstance(answer, Exception):
            return answer if isinstance(answer, StoreError) else self._failure(answer)
        if not isinstance(answer, bytes) or not answer or len(answer) % 8:
            return StoreError("what answers there is no Redis: its answers are no numbers")
        first, *numbers = struct.unpack(f"<{len(answer) // 8}d", answer)
        self._ahead = first - now
        return numbers

    def _failure(self, error: BaseException) -> StoreError:
        words = cleared(error, self._secret_url)
        if isinstance(error, self._client.errors) and any(mark in words for mark in _FOREIGN):
            return StateError(f"a key holds what this library has not written; remove it ({words})")
        if isinstance(error, SENSELESS):
            return StoreError(f"what answers there is no Redis ({words})")
        return StoreError(words)


def _each(answer: object, number: int) -> list[object]:
    """The answer to each decision of a call; what is wrong with the whole is wrong with each."""
    whole = answer
    answers = cast("list[object]", answer) if isinstance(answer, list) else []
    return answers if len(answers) == number else [whole] * number


def _kind(name: str) -> str:
    kind = name.partition(".")[0]
    # Of one kind in that they share states.
    return "credits" if kind == "latch" else kind


def _text(answer: object) -> str:
    # Others may have written any bytes; a key of such is none of ours.
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
