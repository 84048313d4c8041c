"""`resilience status` and `resilience breaker`: what they show of a shared store, and what they change in it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import resilience
from resilience._breaker_machine import ISOLATED
from resilience._clock import RealClock
from resilience._status import Key, Row, report
from resilience._transactions import Command, State
from resilience.cli import main
from resilience.cli._shared import ALONE
from resilience.cli._status import _details, _Look, _show_live, _States, _table
from resilience.errors import ConfigurationError
from resilience.stores import open_store
from resilience.stores._memory import MemoryStore

CHECKOUT = Path(resilience.__file__).parent.parent
URL = "redis://user:se%40cret@cache.test:6379/0?password=secret"
CONFIG = f"version: 1\nshipped: [anakin]\npolicies: [some.yaml]\nstore: {URL}\nnamespace: shop\n"
POLICY = """\
version: 1
provider: some
match: {hosts: [some.test, "127.0.0.1:8000", "*.some.test"]}
account: {headers: [X-Api-Key]}
operations: {search: {path: /search}}
"""

Cli = Callable[..., tuple[object, str, str]]


class Shared(MemoryStore):
    """A store as other processes have filled it; its time is 1,000."""

    strange: tuple[tuple[Any, Any], ...] = ()
    fault: Exception | None = None

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        if self.fault:
            raise self.fault
        return iter([*super().scan(prefix), *self.strange])

    def now(self, now: float, /) -> float:
        return 1000.0

    def run(self, command: Command, now: float, /) -> list[float]:
        if self.fault:
            raise self.fault
        return super().run(command, 1000.0)

    def force(self, key: str, state: int, seconds: float = 0.0) -> None:
        """Put a breaker into a state."""
        self.run(Command("breaker.force", (key,), (state, seconds)), 0.0)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Shared:
    """What the configuration's store is opened as."""
    made = Shared()

    def opened(url: str, *, namespace: str) -> Shared:
        assert (URL, "shop") == (url, namespace)
        return made

    monkeypatch.setattr("resilience.cli._shared.open_store", opened)
    return made


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line in a directory with a configuration; gives exit code, output and complaints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESILIENCE_CONFIG", raising=False)
    (tmp_path / "some.yaml").write_text(POLICY)
    (tmp_path / "resilience.yaml").write_text(CONFIG)

    def run(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def acquire(store: Shared, key: str, most: int, *holders: str) -> None:
    """Have calls in flight."""
    for holder in holders:
        store.run(Command("permits.acquire", (key,), (holder, 30.0, most)), 0.0)


# status


def test_a_table_of_what_the_store_holds(cli: Cli, store: Shared) -> None:
    """By provider; each state in one word and with what is known of it. The store is named without its password."""
    acquire(store, "{some}:permits:jobs:ab12", 2, "a", "b")
    acquire(store, "{anakin}:permits:browser-sessions:api.anakin.io", 50, "a")
    store.force("{some}:breaker:breaker:some.test", 1, 90.0)

    code, output, complaints = cli("status")

    assert (0, "") == (code, complaints)
    rows = [re.split(r"  +", line.strip()) for line in output.splitlines()]
    assert [
        ["provider", "kind", "name", "for", "state"],
        ["anakin", "permits", "browser-sessions", "api.anakin.io", "ok", "1 of 50 in flight, lease ends in 30 s"],
        ["some", "breaker", "breaker", "some.test", "open", "for 0 s, retry after 1m30s"],
        ["permits", "jobs", "ab12", "full", "2 of 2 in flight, lease ends in 30 s"],
        ["3 states in redis://cache.test:6379/0"],
    ] == [rows[0], *rows[2:]]  # fmt: skip
    assert "secret" not in output


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"left": 3.0, "burst": 10.0, "amount": 60.0, "seconds": 3600.0, "algorithm": "fixed_window"},
         "3 of 10 left, 60 in 1h"),
        ({"left": 0.0, "burst": 10.0, "amount": 60.0, "seconds": 60.0, "algorithm": "token_bucket", "paused": 9.0, "next": 9.0},
         "paused 9 s, next 9 s"),
        ({"left": 0.0, "burst": 0.0, "amount": 0.0, "seconds": 0.0, "algorithm": "unrated", "waiting": 3.0}, "waiting 3"),
        ({"left": 2500.25}, "2,500.2 left"),
        ({"paused": 90.0, "next": 90.0, "waiting": 4.0}, "paused 1m30s, next 1m30s, waiting 4"),
        ({"in_flight": 2.0, "most": 5.0, "documented": 10.0}, "2 of 5 in flight, documented 10"),
        ({"in_flight": 2.0, "most": None, "documented": None}, "2 in flight"),
        ({"state": "open", "seconds": 3.0, "retry_after": 6.0, "failed": 0.0}, "for 3 s, retry after 6 s"),
        ({"why": "402 NO_CREDITS", "for": 90.0, "opens_in": None, "looks_in": 3.0}, "402 NO_CREDITS, for 1m30s, looks in 3 s"),
        ({"amount": "a lot", "seconds": "for ever"}, "a lot in for ever"),
        ({}, ""),
    ],
)  # fmt: skip
def test_what_is_known_in_words(facts: dict[str, Any], said: str) -> None:
    """What is nothing is not said; what is unknown to the words stands with its name."""
    parts = Key("some", "bucket", "rate", "")

    assert said == _details(Row("key", parts, "ok", facts))


@pytest.mark.parametrize(
    ("state", "colour"),
    [("open", "31"), ("shut", "31"), ("half_open", "33"), ("full", "33"), ("closed", "32"), ("strange", "")],
)
def test_a_state_has_its_colour(state: str, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red where calls are held back, yellow where they wait, green where they go; one that is unknown has none."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console(force_terminal=True, color_system="standard", width=120)

    with console.capture() as captured:
        console.print(_table((Row("key", Key("some", "breaker", "b", ""), state, {}),)))

    assert (f"\x1b[{colour}m{state}" if colour else f" {state} ") in captured.get()


def test_status_in_json(cli: Cli, store: Shared) -> None:
    """One object, with all that is known."""
    acquire(store, "{some}:permits:jobs:ab12", 2, "a")

    code, output, _ = cli("status", "--json")

    state = {
        "provider": "some", "kind": "permits", "name": "jobs", "scope": "ab12", "key": "{some}:permits:jobs:ab12",
        "state": "ok", "in_flight": 1.0, "most": 2.0, "documented": 2.0, "lease_ends_in": 30.0,
    }  # fmt: skip
    expected = {
        "store": "redis://cache.test:6379/0", "namespace": "shop", "states": [state], "strange": 0, "more": False,
    }  # fmt: skip
    assert (0, expected) == (code, json.loads(output))


def test_status_of_one_provider(cli: Cli, store: Shared) -> None:
    """The others are not asked for."""
    acquire(store, "{some}:permits:jobs", 2, "a")
    acquire(store, "{other}:permits:jobs", 2, "a")

    _, output, _ = cli("status", "--provider", "some", "--json")

    assert ["some"] == [state["provider"] for state in json.loads(output)["states"]]


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--watch",)], ids=str)
def test_status_of_a_provider_that_is_none(arguments: tuple[str, ...], cli: Cli, store: Shared) -> None:
    """Exit code 2, with those that there are; the store may know one of which the configuration has no policy."""
    acquire(store, "{other}:permits:jobs", 2, "a")
    said = "and redis://cache.test:6379/0 has no state of one; "

    assert (2, "", f"resilience: there is no active policy 'nope', {said}there are: anakin, some\n") == cli(
        "status", "--provider", "nope", *arguments
    )
    assert cli("status", "--provider", "Some!", *arguments)[2].endswith(f"'Some!', {said}did you mean 'some'?\n")


def test_status_of_a_provider_of_which_nothing_is_known_yet(cli: Cli, store: Shared) -> None:
    """No mistake; and a store that is down does not say who is unknown."""
    acquire(store, "{other}:permits:jobs", 2, "a")

    assert (0, "0 states in redis://cache.test:6379/0\n", "") == cli("status", "--provider", "some")
    assert (0, True) == ((other := cli("status", "--provider", "other"))[0], "1 of 2 in flight" in other[1])
    store.fault = OSError("gone")
    assert (1, False) == ((down := cli("status", "--provider", "nope"))[0], "no active policy" in down[2])


def test_a_paused_bucket_fits_into_a_narrow_terminal() -> None:
    """Nothing is cut, and no state takes more than two lines; where there is room, each takes one."""
    store = Shared()
    key = "{anakin}:bucket:browser-sessions:166ea894ab12cd34"
    spec = ["token_bucket", 60, 60.0, 10, 1]
    store.run(Command("bucket.pause", (key,), (90.0, spec)), 0.0)
    for _ in range(4):
        store.run(Command("bucket.reserve", (key,), (1e6, [spec])), 0.0)
    store.force("{anakin}:breaker:breaker:api.anakin.io", 1, 90.0)
    lines: dict[int, list[str]] = {}

    for width in (80, 120):
        console = Console(width=width, color_system=None)
        with console.capture() as captured:
            console.print(_States(report(store.scan(), 1000.0).rows))
        lines[width] = [line.strip() for line in captured.get().splitlines() if line.strip()]

    assert [3 + 4, 2 + 2] == [len(each) for each in lines.values()]
    assert not any("\N{HORIZONTAL ELLIPSIS}" in line for each in lines.values() for line in each)
    narrow = [re.split(r"  +", line) for line in lines[80][-2:]]
    assert ["bucket", "browser-sessions", "paused", "paused 1m30s, waiting 3, next"] == narrow[0]
    assert ["166ea894ab12cd34", "1m34s"] == narrow[1]


def test_a_store_that_nobody_has_used(cli: Cli, store: Shared) -> None:
    """No table, and that there is nothing."""
    assert (0, "0 states in redis://cache.test:6379/0\n", "") == cli("status")


def test_the_memory_of_a_process_is_its_own(cli: Cli, tmp_path: Path) -> None:
    """That is said, and how to share it; it is no mistake."""
    (tmp_path / "resilience.yaml").unlink()

    text, as_json = cli("status"), cli("status", "--json")

    assert (0, f"{ALONE}\n", "") == text
    found = json.loads(as_json[1])
    assert (0, [], ALONE, "memory://") == (as_json[0], found["states"], found["note"], found["store"])


def test_a_store_that_is_down(cli: Cli, store: Shared) -> None:
    """One line without the password, however the library words it, and exit code 1."""
    store.fault = OSError(f"no route to {URL}, user:se@cret, se%40cret, se@cret, password=secret\n\x1b[31m")

    code, output, complaints = cli("status")

    assert (1, "") == (code, output)
    assert complaints.startswith("resilience: the store redis://cache.test:6379/0 cannot be reached: no route to ")
    assert "see that it runs, or name another with --store\n" in complaints
    assert not any(secret in complaints for secret in ("se%40cret", "se@cret", "password=secret", "\x1b", "Traceback"))
    assert 1 == complaints.count("\n")


def test_an_error_without_words_is_named(cli: Cli, store: Shared) -> None:
    """By its class."""
    store.fault = TimeoutError()

    assert "cannot be reached: TimeoutError;" in cli("status")[2]


def test_a_store_that_cannot_be_opened(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package is missing, say: exit code 2, without the password."""

    def opened(url: str, **options: Any) -> Any:
        raise ConfigurationError(f"install redis to use {url}")

    monkeypatch.setattr("resilience.cli._shared.open_store", opened)

    code, output, complaints = cli("status")

    assert (2, "") == (code, output)
    assert complaints.startswith("resilience: install redis to use redis://REDACTED@cache.test")
    assert "secret" not in complaints


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redi://x:secret@h", "--store: this is not the URL of a store; did you mean redis://?"),
        ("redis://${NOBODY_SET_THIS}", "--store: the environment has no variable NOBODY_SET_THIS; set it"),
    ],
)
def test_a_store_that_is_none(url: str, message: str, cli: Cli) -> None:
    """Exit code 2, before anything is opened."""
    code, output, complaints = cli("status", "--store", url)

    assert (2, "") == (code, output)
    assert message in complaints
    assert "secret" not in complaints


def test_another_store_can_be_named(cli: Cli, store: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes before that of the configuration; here it is nobody's memory."""
    assert (0, f"{ALONE}\n", "") == cli("status", "--store", "memory://")


def test_states_of_others_break_nothing(cli: Cli, store: Shared) -> None:
    """Keys that are none of ours are counted; states that cannot be read are rows; nothing commands the terminal."""
    store.strange = (
        ("celery-task-meta", {}),
        (b"\xff", None),
        ("{some}:permits:\x1b[31m\r\n" + "x" * 10_000, "text"),
        ("{some}:breaker:b", {"state": 99}),
        ("{some}:breaker:c", {"state": "open" * 10_000}),
    )

    code, output, complaints = cli("status")
    as_json = json.loads(cli("status", "--json")[1])

    assert (0, "") == (code, complaints)
    assert "3 states in redis://cache.test:6379/0; 2 keys are none of ours" in output
    assert "\x1b" not in output
    assert 3 == output.count("unreadable")
    assert (3, 2) == (len(as_json["states"]), as_json["strange"])
    assert all(len(state["key"]) <= 500 for state in as_json["states"])


def watching(monkeypatch: pytest.MonkeyPatch, looks: int, between: Callable[[int], None]) -> list[float]:
    """Interrupt at the last look; gives the waits."""
    waits: list[float] = []

    def sleep(self: RealClock, seconds: float, closing: object) -> None:
        waits.append(seconds)
        if len(waits) == looks:
            raise KeyboardInterrupt
        between(len(waits))

    monkeypatch.setattr(RealClock, "sleep", sleep)
    return waits


def test_watching(cli: Cli, store: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table after each wait until Ctrl+C; a store that is down for a while is told, and does not end it."""

    def between(number: int) -> None:
        store.fault = OSError("gone") if number == 1 else None
        if number == 2:
            acquire(store, "{some}:permits:jobs", 2, "a")

    waits = watching(monkeypatch, 3, between)

    code, output, complaints = cli("status", "--watch")

    assert (130, [2.0, 2.0, 2.0]) == (code, waits)
    assert ["0 states in", "1 state in "] == [line[:11] for line in output.splitlines() if "cache.test" in line]
    assert 1 == complaints.count("cannot be reached: gone")


def test_watching_in_json(cli: Cli, store: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object per line, also while the store is down."""

    def between(number: int) -> None:
        store.fault = OSError("gone") if number == 1 else None

    waits = watching(monkeypatch, 3, between)

    code, output, complaints = cli("status", "--watch", "--every", "0.5", "--json")

    lines = [json.loads(line) for line in output.splitlines()]
    assert (130, "", [0.5, 0.5, 0.5]) == (code, complaints, waits)
    assert [False, True, False] == ["gone" in line.get("fault", "") for line in lines]


def test_looks_take_the_same_place_of_a_terminal(capsys: pytest.CaptureFixture[str], store: Shared, cli: Cli) -> None:
    """After three looks the last one stands there, a fault as well."""
    acquire(store, "{some}:permits:jobs", 2, "a")
    from resilience.cli._shared import shared_store

    shared = shared_store(None, None)
    found = _Look(report(store.scan(), 1000.0))

    _show_live(shared, iter([found, _Look(report([], 0.0), "it is down"), found]))
    last = capsys.readouterr().out
    _show_live(shared, iter([found, _Look(report([], 0.0), "it is down")]))
    down = capsys.readouterr().out

    assert (True, True, False) == ("1 of 2 in flight" in last, "1 state in redis://cache.test" in last, "down" in last)
    assert "it is down" in down


def test_watching_on_a_terminal(tmp_path: Path) -> None:
    """What stood there is drawn over, and Ctrl+C gives the cursor back."""
    main_end, other_end = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "RESILIENCE_CONFIG"}}
    with subprocess.Popen(
        [sys.executable, "-m", "resilience", "status", "--watch", "--every", "0.1"],
        env={**variables, "PYTHONPATH": str(CHECKOUT), "TERM": "xterm", "COLUMNS": "400"},
        stdout=other_end,
        cwd=tmp_path,
    ) as started:
        os.close(other_end)
        written = b""
        while written.count(b"memory://") < 3:
            written += os.read(main_end, 65536)
        started.send_signal(signal.SIGINT)
        while True:
            try:
                chunk = os.read(main_end, 65536)
            except OSError:  # Linux ends a terminal so, where others give nothing.
                chunk = b""
            if not chunk:
                break
            written += chunk
    os.close(main_end)

    assert 130 == started.returncode
    assert b"\x1b[2K" in written
    assert written.count(b"\x1b[?25l") == written.count(b"\x1b[?25h")


# breaker


def test_isolating_a_provider(cli: Cli, store: Shared) -> None:
    """Every breaker that is there, and every one that the policy tells of: of its hosts, but not of patterns of hosts."""
    store.force("{some}:breaker:breaker:x.some.test", 1, 90.0)

    code, output, complaints = cli("breaker", "isolate", "some")

    assert (0, "") == (code, complaints)
    assert [
        "127.0.0.1:8000: closed -> isolated",
        "some.test: closed -> isolated",
        "x.some.test: open -> isolated",
    ] == sorted(output.splitlines())
    assert [ISOLATED] * 3 == [state["state"] for _, state in store.scan("{some}:breaker:")]


def test_one_breaker_alone(cli: Cli, store: Shared) -> None:
    """By what tells it apart, or by its whole key, which need not be in use yet; another name is a mistake."""
    short = cli("breaker", "isolate", "some", "--key", "some.test")
    whole = cli("breaker", "isolate", "some", "--key", "{some}:breaker:breaker:ab12", "--json")
    wrong = cli("breaker", "close", "some", "--key", "some.tst")

    assert (0, "some.test: closed -> isolated\n", "") == short
    change = {"key": "{some}:breaker:breaker:ab12", "from": "closed", "to": "isolated"}
    assert {"store": "redis://cache.test:6379/0", "breakers": [change]} == json.loads(whole[1])
    assert (2, "resilience: some has no breaker 'some.tst'; did you mean 'some.test'?\n") == (wrong[0], wrong[2])
    assert 2 == len(list(store.scan()))


def test_the_breakers_of_a_host(cli: Cli, store: Shared, tmp_path: Path) -> None:
    """By the first part of what tells them apart; closing them makes none, and a part of a name is no part."""
    (tmp_path / "some.yaml").write_text(POLICY + "breaker: {per: [host, operation]}\n")
    store.force("{some}:breaker:breaker:x.some.test:search", ISOLATED)

    nothing = cli("breaker", "close", "some", "--key", "some.test")
    isolated = cli("breaker", "isolate", "some", "--key", "some.test")
    listed = json.loads(cli("breaker", "list", "some", "--key", "some.test", "--json")[1])
    closed = cli("breaker", "close", "some", "--key", "some.test")
    wrong = cli("breaker", "close", "some", "--key", "some.tes")

    url = "redis://cache.test:6379/0"
    assert (0, f"no breaker 'some.test' of some is in {url}: all of its calls are let through\n", "") == nothing
    assert (0, "some.test:-: closed -> isolated\nsome.test:search: closed -> isolated\n", "") == isolated
    assert ["some.test:-", "some.test:search"] == [state["scope"] for state in listed["states"]]
    assert (0, "some.test:-: isolated -> closed\nsome.test:search: isolated -> closed\n", "") == closed
    assert (2, True) == (wrong[0], wrong[2].startswith("resilience: some has no breaker 'some.tes'; did you mean "))


def test_closing_a_provider(cli: Cli, store: Shared) -> None:
    """Whatever breakers are there; none is made."""
    store.force("{some}:breaker:breaker:some.test", ISOLATED)
    store.force("{anakin}:breaker:breaker:api.anakin.io", ISOLATED)

    closed = cli("breaker", "close", "some")
    nothing = cli("breaker", "close", "anakin", "--key", "{anakin}:breaker:breaker:api.anakin.io")

    assert (0, "some.test: isolated -> closed\n", "") == closed
    assert (0, "api.anakin.io: isolated -> closed\n", "") == nothing
    assert 2 == len(list(store.scan()))


def test_closing_what_nobody_has_called(cli: Cli, store: Shared) -> None:
    """It is said, and is no mistake."""
    said = "no breaker of some is in redis://cache.test:6379/0: all of its calls are let through\n"

    assert (0, said, "") == cli("breaker", "close", "some")


def test_breakers_that_only_calls_can_tell(cli: Cli, store: Shared, tmp_path: Path) -> None:
    """Of accounts: one must be named. Of operations, and of all calls together, the policy tells."""
    (tmp_path / "some.yaml").write_text(POLICY + "breaker: {per: [account, host]}\n")
    unknown = cli("breaker", "isolate", "some")
    (tmp_path / "some.yaml").write_text(POLICY + "breaker: {per: operation}\n")
    by_operation = cli("breaker", "isolate", "some")
    (tmp_path / "some.yaml").write_text(POLICY + 'breaker: {health: {path: "/up/{domain}", apart: true}}\n')
    apart = cli("breaker", "isolate", "some", "--key", "some.test")
    (tmp_path / "some.yaml").write_text(POLICY + "breaker: {per: provider}\n")
    for_all = cli("breaker", "isolate", "some", "--key", "some")

    assert 2 == unknown[0]
    assert "some has a breaker for each account and host, and none was asked yet" in unknown[2]
    assert (2, True) == (apart[0], apart[2].startswith("resilience: some has no breaker 'some.test'; "))
    assert ["-: closed -> isolated", "search: closed -> isolated"] == by_operation[1].splitlines()
    assert "some: closed -> isolated\n" == for_all[1]


@pytest.mark.parametrize("switched_off", ["breaker: {off: true}", "providers: {some: {mode: {breaker: off}}}"])
def test_a_breaker_that_is_off(switched_off: str, cli: Cli, store: Shared, tmp_path: Path) -> None:
    """Nothing would come of it, so it is refused."""
    name, text = ("some.yaml", POLICY) if "true" in switched_off else ("resilience.yaml", CONFIG)
    (tmp_path / name).write_text(f"{text}{switched_off}\n")

    code, output, complaints = cli("breaker", "isolate", "some")

    assert (2, "") == (code, output)
    assert "the breaker of some is off, and nothing asks it" in complaints


def test_listing_breakers(cli: Cli, store: Shared) -> None:
    """Those of the provider, and nothing else of it; or one alone."""
    store.force("{some}:breaker:breaker:some.test", ISOLATED)
    store.force("{some}:breaker:breaker:x.some.test", 1, 5.0)
    store.force("{anakin}:breaker:breaker:api.anakin.io", ISOLATED)
    acquire(store, "{some}:permits:jobs", 2, "a")

    everything = json.loads(cli("breaker", "list", "some", "--json")[1])
    one = cli("breaker", "list", "some", "--key", "x.some.test")

    assert [("some.test", "isolated"), ("x.some.test", "open")] == [
        (state["scope"], state["state"]) for state in everything["states"]
    ]
    assert (0, 1) == (one[0], one[1].count("some.test  "))


@pytest.mark.parametrize("verb", ["isolate", "close", "list"])
def test_a_provider_that_is_none(verb: str, cli: Cli, store: Shared) -> None:
    """Exit code 2, with the name that was meant."""
    assert (2, "", "resilience: there is no active policy 'sone'; did you mean 'some'?\n") == cli(
        "breaker", verb, "sone"
    )


@pytest.mark.parametrize("verb", ["isolate", "close"])
def test_breakers_of_a_store_that_is_down(verb: str, cli: Cli, store: Shared) -> None:
    """Exit code 1, and why."""
    store.fault = OSError("gone")

    code, output, complaints = cli("breaker", verb, "some")

    assert (1, "") == (code, output)
    assert "cannot be reached: gone" in complaints


def test_a_change_that_stays_in_this_process_is_none(cli: Cli, store: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that can be read but not written lets a client go on alone; by hand that is of no use."""
    monkeypatch.setattr(store, "is_away", True, raising=False)

    code, output, complaints = cli("breaker", "isolate", "some")

    assert (1, "") == (code, output)
    assert "cannot be written, and no other process knows of the change" in complaints


@pytest.mark.parametrize("command", [("status",), ("breaker", "isolate", "some", "--key", "some.test")])
def test_a_real_store(command: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    """A file that several processes share: what one writes the other sees; what is no store of ours is refused."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    writing = "from resilience.stores import open_store; from resilience._transactions import Command; import sys; "
    writing += "open_store(sys.argv[1], namespace='shop').run(Command('breaker.force', ('{some}:breaker:b:some.test',), (1, 60.0)), 0.0)"
    subprocess.run([sys.executable, "-c", writing, url], check=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
    (tmp_path / "other.db").write_text("this is no database, and it must not become one")

    code, output, complaints = cli(*command, "--store", url)
    refused = cli(*command, "--store", f"sqlite:///{tmp_path / 'other.db'}")

    assert (0, "") == (code, complaints)
    assert "some.test" in output
    assert "open" in output
    assert (2, "") == refused[:2]
    assert (tmp_path / "other.db").read_text().startswith("this is no database")


def test_a_file_whose_name_the_url_writes_otherwise(cli: Cli, tmp_path: Path) -> None:
    """What applications find under a URL, its percent signs decoded, is found by commands too."""
    url = f"sqlite:///{tmp_path}/state%20one.db"
    open_store(url, namespace="shop").run(Command("breaker.force", ("{some}:breaker:b:some.test",), (1, 60.0)), 0.0)

    code, output, complaints = cli("status", "--store", url)

    assert (0, "") == (code, complaints)
    assert "some.test" in output


def test_a_store_that_is_named_goes_before_one_that_has_no_place_here(cli: Cli, tmp_path: Path) -> None:
    """The configuration may be another machine's; without a store in its place, its own is told of."""
    config = tmp_path / "elsewhere.yaml"
    config.write_text("version: 1\nstore: sqlite:////nowhere/a.db\n")
    open_store(f"sqlite:///{tmp_path / 'here.db'}", namespace="resilience")

    named = cli("status", "--config", str(config), "--store", f"sqlite:///{tmp_path / 'here.db'}")
    shown = cli("config", "show", "--config", str(config))
    own = cli("status", "--config", str(config))

    assert (0, "") == (named[0], named[2])
    assert (0, "") == (shown[0], shown[2])
    assert "sqlite:////nowhere/a.db" in shown[1]
    assert (2, "") == own[:2]
    assert "elsewhere.yaml:2:8: the store /nowhere/a.db must be in a directory that exists" in own[2]


@pytest.mark.parametrize("verb", ["isolate", "close"])
def test_breakers_of_the_memory_of_a_process(verb: str, cli: Cli) -> None:
    """Another process cannot change them."""
    assert (2, "", f"resilience: {ALONE}\n") == cli("breaker", verb, "some", "--store", "memory://")


@pytest.mark.parametrize("verb", ["isolate", "close", "list"])
def test_every_command_has_help_with_an_example_and_json(verb: str, cli: Cli) -> None:
    """As the other commands have."""
    code, output, complaints = cli("breaker", verb, "--help")

    assert (0, "") == (code, complaints)
    assert "--json" in output
    assert re.search(rf"Example:\n +resilience breaker {verb} ", output)
