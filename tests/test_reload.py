"""A changed file takes effect while the process runs: all of it or nothing, and nobody waits for it who need not."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as some

import resilience
from resilience import _loaded, _reload
from resilience._install import ResilienceFinder
from resilience._kept import kept_of
from resilience._registry import Policies
from resilience._stamps import noting, stamp_of
from tests.rawserver import RawServer, answer, raw_server
from tests.test_transparency import LIBRARIES

POLICY = """\
version: 1
provider: local
match: {{hosts: ["{host}"]}}
retry: {{max_attempts: {attempts}, backoff: {{initial: 1ms, max: 1ms}}}}
{more}
"""
CHECKOUT = Path(resilience.__file__).parent.parent
LONG_AGO = 1_000_000_000


class Files:
    """A configuration with one policy, for a server of its own."""

    def __init__(self, directory: Path, server: RawServer, reload: str = "1h") -> None:
        # By itself nothing is looked at so soon: a test says when.
        self.server = server
        self.reload = reload
        self.host = server.url.removeprefix("http://")
        self.config = directory / "resilience.yaml"
        self.policy = directory / "local.yaml"
        self.write_policy()
        self.write()

    def write(self, more: str = "", *, age: bool = True) -> None:
        """The configuration, at rest unless it is said otherwise."""
        text = f"version: 1\npolicies: [./local.yaml]\nshipped: false\nreload: {self.reload}\n{more}"
        put(self.config, text, age=age)

    def write_policy(self, attempts: int = 1, more: str = "") -> None:
        put(self.policy, POLICY.format(host=self.host, attempts=attempts, more=more))


def put(path: Path, text: str, *, age: bool = True) -> None:
    """Write a file in place, as of long ago or of now."""
    path.write_text(text, "utf-8")
    if age:
        os.utime(path, (LONG_AGO, LONG_AGO))


def look() -> Policies:
    """A look that is due, and the policies after it."""
    watch = ResilienceFinder.watch
    assert watch is not None
    watch.due = 0.0
    watch.look()
    assert ResilienceFinder.policies is not None
    return ResilienceFinder.policies


def due() -> None:
    """The next call looks."""
    assert ResilienceFinder.watch is not None
    ResilienceFinder.watch.due = 0.0


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "resilience.config" and record.levelno == level
    ]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """A provider that is always busy, and a configuration that is installed."""
    with raw_server(answer(503)) as server:
        files = Files(tmp_path, server)
        resilience.install(files.config)
        try:
            yield files
        finally:
            resilience.uninstall()


@pytest.fixture(autouse=True)
def _hears_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "resilience.config")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_changed_file_takes_effect_with_the_next_call(library: str, files: Files) -> None:
    """In a client that exists: a policy that is sent three times is sent three times."""
    with LIBRARIES[library].Client() as client:
        client.get(files.server.url)
        before = len(files.server.requests)
        files.write_policy(attempts=3)
        client.get(files.server.url)
        same = len(files.server.requests)
        due()
        client.get(files.server.url)

    assert [1, 2, 5] == [before, same, len(files.server.requests)]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_changed_file_takes_effect_in_an_event_loop(library: str, loop: str, files: Files) -> None:
    """The call that looks obeys what it has found."""

    async def go() -> list[int]:
        async with LIBRARIES[library].AsyncClient() as client:
            await client.get(files.server.url)
            first = len(files.server.requests)
            files.write_policy(attempts=3)
            due()
            await client.get(files.server.url)
            return [first, len(files.server.requests)]

    counts = asyncio.run(go()) if loop == "asyncio" else trio.run(go)

    assert [1, 4] == counts


def test_what_has_not_changed_is_not_read(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a look is due nothing is asked of the system; and a file that is as it was is not opened."""
    before = ResilienceFinder.policies
    monkeypatch.setattr(_reload, "try_all", lambda *_: pytest.fail("read"))

    assert before is look()

    watch = ResilienceFinder.watch
    assert watch is not None
    assert watch.due > time.monotonic()
    monkeypatch.setattr(_reload, "stamps_of", lambda *_: pytest.fail("looked"))
    watch.look()


def test_a_file_that_says_the_same_changes_nothing(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """Touched, or with another comment: the policies stay the same objects, and nothing is told."""
    before = ResilienceFinder.policies
    files.write("# as before\n")

    assert before is look()
    assert [] == caplog.records


def test_what_has_changed_is_told_by_keys(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """Never by values, which may be secret; policy files by their names; as data too."""
    files.write("mode: {limiter: off}\nstore: redis://:secret@127.0.0.1:1/0\n")
    files.write_policy(attempts=2)

    look()

    (line,) = lines(caplog, logging.INFO)
    assert f"configuration reloaded from {files.config}: changed: mode.limiter, store, local.yaml" == line
    assert {
        "event": "ConfigurationReloaded",
        "file": str(files.config),
        "changed": ["mode.limiter", "store", "local.yaml"],
    } == vars(caplog.records[0])["resilience"]
    assert "secret" not in caplog.text


def test_a_long_list_of_changes_is_cut(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """A line of a log is read by a person."""
    files.write("namespace: other\nspans: never\nrefusals: raise\n"
                "mode: {retry: off, retry_budget: off, credits: off, breaker: off, limiter: off, concurrency: off}\n")  # fmt: skip

    look()

    assert lines(caplog, logging.INFO)[0].endswith("namespace, refusals and 1 more")


def test_a_bad_file_keeps_the_old_one_and_is_told_once(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """With the place of each mistake; once for each change, however often it is looked at."""
    before = ResilienceFinder.policies
    files.write("mode: obsrve\nnamspace: x\n")

    assert before is look() is look()
    (line,) = lines(caplog, logging.WARNING)
    assert "cannot be honoured, so the one before it stays" in line
    assert f"{files.config}:5:7: 'obsrve' is no mode (did you mean 'observe'?)" in line
    assert f"{files.config}:6:1: unknown key 'namspace'" in line
    assert 2 == len(vars(caplog.records[0])["resilience"]["problems"])

    files.write("mode: obsrv\n")
    look()
    assert 2 == len(lines(caplog, logging.WARNING))


def test_after_a_mistake_the_next_good_file_applies(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """Also the very one that was there before, which is told too."""
    before = ResilienceFinder.policies
    files.write("mode: x\n")
    look()
    files.write()
    same = look()
    told = lines(caplog, logging.INFO)
    files.write("mode: observe\n")

    assert before is same
    assert [f"{files.config} is again as it was before the mistake"] == told
    assert before is not look()


def test_many_mistakes_are_not_all_told(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """The first eight, and how many more there are."""
    files.write("\n".join(f"unknown{number}: x" for number in range(20)))

    look()

    assert lines(caplog, logging.WARNING)[0].endswith("; and 12 more")


def test_a_file_that_was_just_written_waits_until_it_rests(files: Files) -> None:
    """An editor that writes in place has emptied it first: half of a file may be a file that can be honoured."""
    before = ResilienceFinder.policies
    files.write("mode: observe\n", age=False)

    first = look()
    files.write("mode: observe\nnamespace: whole\n", age=False)
    second = look()

    assert before is first is second
    # The same at two looks is at rest, whatever its time says; the second comes sooner than the usual one.
    assert "whole" == look().namespace


def test_a_missing_file_is_looked_at_twice(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """It may be on its way; when it is gone the old one stays, and one that comes back applies."""
    before = ResilienceFinder.policies
    files.config.unlink()

    assert before is look()
    assert [] == lines(caplog, logging.WARNING)
    assert before is look() is look()
    (line,) = lines(caplog, logging.WARNING)
    assert "resilience.yaml' cannot be read: No such file or directory" in line

    files.write("namespace: back\n")
    assert "back" == look().namespace


def test_a_file_that_cannot_be_looked_at_keeps_the_old_one(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """As one that is a link in a circle, or a directory."""
    before = ResilienceFinder.policies
    files.config.unlink()
    files.config.symlink_to(files.config)
    look()

    assert before is look()
    files.config.unlink()
    files.config.mkdir()
    look()
    assert before is look()
    assert ["Too many levels", "is a directory"] == [
        words for words, line in zip(["Too many levels", "is a directory"], lines(caplog, logging.WARNING), strict=True) if words in line
    ]  # fmt: skip


def test_a_file_that_could_not_be_read_is_read_again(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody need touch it once there are files to be had again, or the disk is back; until then it is said once."""

    def refuse(self: Path, mode: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    before = ResilienceFinder.policies
    files.write("namespace: hurry\n")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        assert before is look() is look() is look()
    (line,) = lines(caplog, logging.WARNING)

    assert "hurry" == look().namespace
    assert "Too many open files" in line


def test_a_file_that_is_put_in_its_place_applies(files: Files, tmp_path: Path) -> None:
    """By a rename, with the same time and size."""
    files.write("namespace: one\n")
    first = look().namespace
    put(tmp_path / "new", files.config.read_text().replace("one", "two"))
    (tmp_path / "new").replace(files.config)

    assert ["one", "two"] == [first, look().namespace]


def test_links_that_are_swapped_apply_together(tmp_path: Path) -> None:
    """As Kubernetes does: the files are links into `..data`, which is a link that is replaced."""
    with raw_server(answer(503)) as server:
        for version, attempts in (("v1", 1), ("v2", 3)):
            (tmp_path / version).mkdir()
            files = Files(tmp_path / version, server)
            files.write(f"namespace: {version}\n")
            files.write_policy(attempts)
        (tmp_path / "..data").symlink_to("v1")
        for name in ("resilience.yaml", "local.yaml"):
            (tmp_path / name).symlink_to(f"..data/{name}")
        resilience.install(tmp_path / "resilience.yaml")
        try:
            (tmp_path / "next").symlink_to("v2")
            (tmp_path / "next").replace(tmp_path / "..data")
            changed = look()
            httpx.get(server.url)
        finally:
            resilience.uninstall()

    assert ("v2", 3) == (changed.namespace, len(server.requests))


def test_a_change_while_it_is_read_is_no_mixture(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the configuration of one version and the policy of the next nothing applies; of the next all of it."""
    before = ResilienceFinder.policies
    files.write("namespace: first\n")
    read = _loaded.load_policy

    def changing(path: Any) -> Any:
        files.write("namespace: second\n")
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(_loaded, "load_policy", changing)
        files.write_policy(attempts=2)

        assert before is look()
    assert "second" == look().namespace


@pytest.mark.parametrize("parent", ["local.yaml", "parent.yaml"])
def test_a_policy_and_what_it_extends_are_watched(parent: str, files: Files, tmp_path: Path) -> None:
    """A policy of the user's own is as much his configuration as the file that names it."""
    put(tmp_path / "parent.yaml", "version: 1\nretry: {max_attempts: 1, backoff: {initial: 1ms, max: 1ms}}\n")
    put(files.policy, f'version: 1\nextends: ./parent.yaml\nprovider: local\nmatch: {{hosts: ["{files.host}"]}}\n')
    look()
    retry = "retry: {max_attempts: 2, backoff: {initial: 1ms, max: 1ms}}\n"
    put(tmp_path / parent, f"{(tmp_path / parent).read_text().partition('retry')[0]}{retry}")

    look()
    httpx.get(files.server.url)

    assert 2 == len(files.server.requests)


def test_a_policy_that_is_as_it_was_stays_the_same_object(files: Files) -> None:
    """What was compiled of it is kept."""
    before = look().sources[0].policy()
    files.write("namespace: other\n")

    assert before is look().sources[0].policy()


def test_a_policy_that_becomes_bad_keeps_the_old_one(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """And is looked at on, though the configuration itself is good."""
    before = ResilienceFinder.policies
    put(files.policy, files.policy.read_text() + "unknown: x\n")

    assert before is look()
    assert f"{files.policy}:6:1: unknown key 'unknown'" in lines(caplog, logging.WARNING)[0]
    files.write_policy(attempts=2)
    assert before is not look()


def test_a_policy_that_is_not_there_yet_is_looked_for(files: Files, tmp_path: Path) -> None:
    """The configuration that names it came first."""
    before = look()
    put(files.config, "version: 1\nshipped: false\npolicies: [local.yaml, late.yaml]\n")
    kept = look()
    put(tmp_path / "late.yaml", "version: 1\nprovider: late\nmatch: {hosts: [late.test]}\n")

    assert before is kept
    assert ["late", "local"] == sorted(source.name for source in look().sources)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere/state.db",
            "resilience.yaml:5:8: the store {here}/nowhere/state.db must be in a directory that exists",
        ),
        ("diary.txt", "{here}/diary.txt is not a database; name another file, or remove it"),
    ],
)
def test_a_store_that_cannot_be_opened_keeps_the_old_configuration(
    name: str, message: str, files: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the application's next call would fail."""
    (tmp_path / "diary.txt").write_text("Dear diary, " * 100)
    before = ResilienceFinder.policies
    files.write(f"store: sqlite:///{tmp_path}/{name}\n")

    assert before is look()
    assert message.format(here=tmp_path) in lines(caplog, logging.WARNING)[0]


def test_an_error_that_nobody_foresaw_stops_no_call(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old configuration stays, and the error is told."""
    before = ResilienceFinder.policies

    def fail(*_: object, **_named: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(_loaded, "active", fail)
    files.write("mode: off\n")

    assert before is look()
    assert "ZeroDivisionError: oh" in lines(caplog, logging.WARNING)[0]


@pytest.mark.parametrize("more", ["mode: obsrve\n", "mode: observe\n"], ids=["refused", "applied"])
def test_a_log_that_fails_stops_no_call(more: str, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of the application's raises: the call that found the change was never sent."""

    def fail(record: logging.LogRecord) -> bool:
        raise ValueError(record.getMessage())

    monkeypatch.setattr(logging.getLogger("resilience.config"), "filters", [fail])
    files.write(more)
    due()

    assert 503 == httpx.get(files.server.url).status_code


LIMITED = """\
limits:
  - {name: calls, rate: 2/hour, max_wait: 1ms, per: provider}
"""


def test_state_is_kept_where_its_parameters_are_equal(files: Files) -> None:
    """What was paid of a limit is paid after a reload; a limit that has changed takes effect; and so back again."""
    files.write_policy(more=LIMITED)
    look()
    with httpx.Client() as client:
        statuses = [client.get(files.server.url).status_code for _ in range(3)]
        files.write("namespace: other\nmode: {retry: off}\n")
        look()
        kept = client.get(files.server.url)
        files.write_policy(more=LIMITED.replace("2/hour", "3/hour"))
        look()
        raised = client.get(files.server.url)
        files.write_policy(more=LIMITED)
        look()
        back = client.get(files.server.url)

    assert [503, 503, 429] == statuses
    assert [429, 503, 429] == [kept.status_code, raised.status_code, back.status_code]
    assert 3 == len(files.server.requests)


def test_what_was_spent_is_spent(files: Files) -> None:
    """A budget whose limit was raised has what was spent of it; one call more, and not three."""
    budget = "providers: {local: {budgets: [{name: day, limit: NUMBER requests/day}]}}\n"
    files.write(budget.replace("NUMBER", "2"))
    look()
    with httpx.Client() as client:
        statuses = [client.get(files.server.url).status_code for _ in range(3)]
        files.write(budget.replace("NUMBER", "3"))
        look()
        statuses += [client.get(files.server.url).status_code for _ in range(2)]

    assert ([503, 503, 402, 503, 402], 3) == (statuses, len(files.server.requests))


def test_a_breaker_that_is_open_stays_open(files: Files) -> None:
    """Also when its policy was read again; a mode of `off` lets calls through at once."""
    files.write_policy(more="breaker: {consecutive_failures: 3, open_for: 1m}\n")
    look()
    with httpx.Client() as client:
        for _ in range(4):
            client.get(files.server.url)
        files.write_policy(attempts=2, more="breaker: {consecutive_failures: 3, open_for: 1m}\n")
        look()
        client.get(files.server.url)
        open_still = len(files.server.requests)
        files.write("mode: {breaker: off}\n")
        look()
        client.get(files.server.url)

    assert [3, 5] == [open_still, len(files.server.requests)]


def test_a_permit_of_the_old_configuration_is_held_and_given_back(tmp_path: Path) -> None:
    """A stream that is open counts under the new one; once it is closed its place is free."""
    one = "limits:\n  - {name: few, concurrency: 1, max_wait: 1ms, queue: 1, per: provider}\n"
    with raw_server(answer(200, b"{}" * 200_000)) as server:
        files = Files(tmp_path, server)
        files.write_policy(more=one)
        resilience.install(files.config)
        try:
            with httpx.Client() as client:
                with client.stream("GET", server.url):
                    files.write_policy(attempts=2, more=one)
                    look()
                    while_open = client.get(server.url).status_code
                after = client.get(server.url).status_code
        finally:
            resilience.uninstall()

    assert (429, 200) == (while_open, after)


def waiting_call(files: Files, client: httpx.Client) -> tuple[threading.Thread, list[Any]]:
    """A call that waits for its turn under the present configuration."""
    ended: list[Any] = []

    def call() -> None:
        try:
            ended.append(client.get(files.server.url).status_code)
        except resilience.errors.CallError as error:
            ended.append(type(error).__mro__[1].__name__)

    client.get(files.server.url)
    policies = ResilienceFinder.policies
    thread = threading.Thread(target=call)
    thread.start()
    while thread.is_alive() and not _sleeps(thread):
        time.sleep(0.001)
    assert thread.is_alive(), ended
    assert kept_of(client)
    assert policies is ResilienceFinder.policies
    return thread, ended


def _sleeps(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "sleep":
            return True
        frame = frame.f_back
    return False


def test_a_call_that_waits_ends_by_the_configuration_it_began_with(files: Files) -> None:
    """Its turn comes as it was told, and the next call has the new limit."""
    files.write_policy(more="limits:\n  - {name: calls, rate: 1/second, burst: 1, max_wait: 30s, per: provider}\n")
    look()
    with httpx.Client() as client:
        thread, ended = waiting_call(files, client)
        files.write_policy(more="limits:\n  - {name: calls, rate: 1000/second, max_wait: 1ms, per: provider}\n")
        look()
        quick = [client.get(files.server.url).status_code for _ in range(5)]
        thread.join(60)

    assert ([503] * 5, [503]) == (quick, ended)


def test_closing_a_client_ends_the_waits_of_an_older_configuration(files: Files) -> None:
    """Its transport is kept for as long as the call is under way, whatever came after it."""
    files.write_policy(more="limits:\n  - {name: calls, rate: 1/hour, burst: 1, max_wait: 2h, per: provider}\n")
    look()
    client = httpx.Client()
    thread, ended = waiting_call(files, client)
    for attempts in (2, 3, 4):
        files.write_policy(attempts)
        look()
        client.get(files.server.url)
    gc.collect()
    client.close()
    thread.join(60)

    assert ["ClientClosed"] == ended


def test_ten_thousand_configurations_leave_nothing_behind(files: Files) -> None:
    """Transports of configurations that are gone are gone, where no call needs them."""
    policies = look()
    sources = policies.sources
    gc.collect()
    # What this test has none of; the first is the one that is installed now.
    before = sum(type(each) is Policies for each in gc.get_objects())
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        for _ in range(10_000):
            ResilienceFinder.policies = Policies(sources, store=policies.store)
            client.get(files.server.url)
        gc.collect()
        kept = kept_of(client)

    assert 1 == len(kept)
    # The one that is installed now: the one before it is held by this test.
    assert 1 >= sum(type(each) is Policies for each in gc.get_objects()) - before


def test_the_loop_goes_on_while_a_file_is_read(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other calls obey the old configuration meanwhile; the one that looks waits for the new."""
    may_go_on, begun = threading.Event(), threading.Event()
    try_all = _reload.try_all

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert may_go_on.wait(60)
        return try_all(*arguments)

    monkeypatch.setattr(_reload, "try_all", slow)
    monkeypatch.setattr(_reload, "_LONGEST_WAIT", 60)
    files.write_policy(attempts=3)

    async def go() -> tuple[int, int]:
        async with httpx.AsyncClient() as client:
            due()
            looks = asyncio.create_task(client.get(files.server.url))
            while not begun.is_set():
                await asyncio.sleep(0)
            due()
            old = await client.get(files.server.url)
            may_go_on.set()
            return len(old.extensions["resilience"].attempts), len((await looks).extensions["resilience"].attempts)

    assert (1, 3) == asyncio.run(go())


def test_a_disk_that_has_gone_holds_nobody_for_long(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that has looked goes on with the old configuration."""
    may_end = threading.Event()
    monkeypatch.setattr(_reload, "try_all", lambda *_: (may_end.wait(60), (None, ValueError("x")))[1])
    monkeypatch.setattr(_reload, "_LONGEST_WAIT", 0.01)
    files.write_policy(attempts=3)

    async def go() -> int:
        async with httpx.AsyncClient() as client:
            due()
            return len((await client.get(files.server.url)).extensions["resilience"].attempts)

    try:
        assert 1 == asyncio.run(go())
    finally:
        may_end.set()


def test_a_call_that_is_cancelled_while_it_looks_leaves_the_look_to_its_thread(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call obeys what was found."""
    may_go_on, done = threading.Event(), threading.Event()
    try_all = _reload.try_all

    def slow(*arguments: Any) -> Any:
        assert may_go_on.wait(60)
        return try_all(*arguments)

    monkeypatch.setattr(_reload, "try_all", slow)
    swap = ResilienceFinder.watch._swap  # type: ignore[union-attr]
    monkeypatch.setattr(ResilienceFinder.watch, "_swap", lambda *given: (swap(*given), done.set()))
    files.write_policy(attempts=3)

    async def go() -> int:
        async with httpx.AsyncClient() as client:
            due()
            with suppress(TimeoutError):
                await asyncio.wait_for(client.get(files.server.url), 0.01)
            may_go_on.set()
            assert await asyncio.to_thread(done.wait, 60)
            return len((await client.get(files.server.url)).extensions["resilience"].attempts)

    assert 3 == asyncio.run(go())


def test_where_no_thread_can_be_had_the_call_reads_itself(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of an interpreter."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "resilience-reload":
            raise RuntimeError("can't start new thread")
        start(thread)

    files.write_policy(attempts=3)

    async def go() -> int:
        async with httpx.AsyncClient() as client:
            due()
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", refuse)
                response = await client.get(files.server.url)
            return len(response.extensions["resilience"].attempts)

    assert 3 == asyncio.run(go())


def test_no_thread_watches(files: Files) -> None:
    """Neither after `install` nor after a synchronous look."""
    before = threading.enumerate()
    files.write_policy(attempts=3)
    look()

    assert [] == [thread for thread in threading.enumerate() if thread not in before]


def test_one_of_many_threads_looks(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come at the same moment, the file is read once."""
    reads: list[int] = []
    try_all = _reload.try_all
    monkeypatch.setattr(_reload, "try_all", lambda *given: (reads.append(1), try_all(*given))[1])
    files.write("namespace: other\n")
    due()
    watch = ResilienceFinder.watch
    assert watch is not None
    threads = [threading.Thread(target=watch.look) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [1] == reads


def test_what_somebody_else_installed_stays(files: Files) -> None:
    """A look that began before it changes nothing."""
    watch = ResilienceFinder.watch
    assert watch is not None
    files.write("namespace: other\n")
    resilience.install({"version": 1, "namespace": "mine"})
    watch.due = 0.0
    watch.look()

    assert ResilienceFinder.policies is not None
    assert ("mine", None) == (ResilienceFinder.policies.namespace, ResilienceFinder.watch)


def test_a_file_may_ask_not_to_be_watched(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """From the beginning, or from now on, which is told; and another time is heeded."""
    files.write()
    put(files.config, files.config.read_text().replace("1h", "30m"))
    look()
    watch = ResilienceFinder.watch
    assert watch is not None
    assert time.monotonic() + 1500 < watch.due < time.monotonic() + 2000
    put(files.config, files.config.read_text().replace("30m", "off"))
    look()

    assert float("inf") == watch.due
    assert lines(caplog, logging.INFO)[-1].endswith("is not looked at again: it says `reload: off`")
    resilience.install(files.config)
    assert ResilienceFinder.watch is None


def test_the_program_may_go_elsewhere(files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A configuration that was named by a relative path is the same file afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESILIENCE_CONFIG", raising=False)
    resilience.install()
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    files.write("namespace: other\n")

    assert "other" == look().namespace


def test_the_environment_applies_to_what_is_read_again(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the first time."""
    monkeypatch.setenv("RESILIENCE_NAMESPACE", "mine")
    files.write("namespace: other\nmode: observe\n")

    assert "mine" == look().namespace


def test_only_what_is_read_for_a_configuration_is_noted(tmp_path: Path) -> None:
    """By its absolute path; a file that is not there has no stamp."""
    with noting() as noted:
        with suppress(resilience.errors.ConfigurationError):
            resilience.load_policy(tmp_path / "none.yaml")
    with suppress(resilience.errors.ConfigurationError):
        resilience.load_policy(tmp_path / "other.yaml")

    assert {str(tmp_path / "none.yaml"): None} == noted.stamps
    assert stamp_of("a\0b") is None


GOOD = some.integers(0, 999).map(lambda number: f"namespace: n{number}\n")
BAD = some.sampled_from(["namespace: [\n", "unknown: 1\n", "mode: x\n", "\0", "policies: [./none.yaml]\n"])
STEPS = some.lists(some.one_of(GOOD, BAD, some.just("missing"), some.just("empty"), some.just("half")), max_size=8)


@settings(max_examples=60)
@given(steps=STEPS, at_rest=some.booleans())
def test_any_sequence_of_files_ends_with_the_last_good_one(steps: list[str], at_rest: bool) -> None:
    """Good and bad, missing, empty and broken off; by times that are old or new."""
    wanted = "first"
    with TemporaryDirectory() as directory:
        path = Path(directory) / "resilience.yaml"
        frame = "version: 1\nshipped: false\nreload: 1h\n"
        put(path, f"{frame}namespace: first\n")
        resilience.install(path)
        try:
            for step in steps:
                if step == "missing":
                    path.unlink(missing_ok=True)
                elif step in {"empty", "half"}:
                    put(path, "" if step == "empty" else "version: 1\nmod", age=at_rest)
                else:
                    put(path, frame + step, age=at_rest)
                    wanted = step.split()[1] if step.startswith("namespace: n") else wanted
                look()
                found = look().namespace

                assert wanted == found
        finally:
            resilience.uninstall()


PROGRAM = """
import os, sys, httpx
for line in sys.stdin:
    response = httpx.get(sys.argv[1])
    print(response.status_code, flush=True)
"""


@contextmanager
def running(files: Files, program: str) -> Iterator[subprocess.Popen[str]]:
    """A program under `resilience run`, ended with the test."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RESILIENCE_")}
    with subprocess.Popen(
        [sys.executable, "-m", "resilience", "run", "--", sys.executable, "-c", textwrap.dedent(program), files.server.url],
        cwd=files.config.parent, env={**own, "PYTHONPATH": str(CHECKOUT)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def ask_until(asked: Callable[[], str], wanted: str) -> list[str]:
    """The answers until the wanted one, within a minute."""
    end = time.monotonic() + 60
    found = [asked()]
    while found[-1] != wanted and time.monotonic() < end:
        found.append(asked())
    assert wanted == found[-1]
    return found


def test_a_running_program_obeys_a_new_limit(tmp_path: Path) -> None:
    """What the server gets is what the file allows, before and after; a bad file changes nothing."""
    limit = "limits:\n  - {name: calls, rate: 1/hour, max_wait: 1ms, per: provider}\n"
    with raw_server(answer(200)) as server:
        files = Files(tmp_path, server, reload="100ms")
        files.write_policy(more=limit)
        with running(files, PROGRAM) as program:

            def ask() -> str:
                assert program.stdin is not None
                assert program.stdout is not None
                program.stdin.write("\n")
                program.stdin.flush()
                return program.stdout.readline().strip()

            first = [ask() for _ in range(5)]
            at_first = len(server.requests)
            files.write("mode: {limiter: x}\n")
            until = time.monotonic() + 0.5
            bad = {ask() for _ in iter(lambda: time.monotonic() < until, False)}
            files.write("mode: {limiter: observe}\n", age=False)
            ask_until(ask, "200")
            before = len(server.requests)
            observed = [ask() for _ in range(5)]
            at_last = len(server.requests)
            files.write()
            ask_until(ask, "429")
            counted = len(server.requests)
            after = [ask() for _ in range(3)]

    assert (["200", *["429"] * 4], 1) == (first, at_first)
    assert ({"429"}, 2) == (bad, before)
    assert (["200"] * 5, 5) == (observed, at_last - before)
    assert (["429"] * 3, counted) == (after, len(server.requests))


FORKING = """
import os, sys, httpx
httpx.get(sys.argv[1])
from resilience._install import ResilienceFinder
watch = ResilienceFinder.watch
# As while a thread of the parent reads: the child has no such thread.
watch._loads_in = os.getpid()
read, write = os.pipe()
if os.fork() == 0:
    sys.stdin.readline()
    watch.due = 0.0
    httpx.get(sys.argv[1])
    os.write(write, ResilienceFinder.policies.namespace.encode())
    os._exit(0)
os.wait()
print(os.read(read, 100).decode(), ResilienceFinder.policies.namespace, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_looks_by_itself(tmp_path: Path) -> None:
    """Though its parent was reading when it was made."""
    with raw_server(answer(200)) as server:
        files = Files(tmp_path, server)
        with running(files, FORKING) as program:
            while not server.requests and program.poll() is None:
                time.sleep(0.01)
            files.write("namespace: other\n")
            output, _ = program.communicate("\n", timeout=60)

    assert "other resilience\n" == output
