"""The Redis store, on real servers: alone, in a cluster, behind sentinels; well, and in every way unwell."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from resilience._transactions import Command
from resilience.errors import ConfigurationError
from resilience.stores import StoreError
from resilience.stores._errors import StateError
from resilience.stores._lua import lua_named, lua_of
from resilience.stores._redis import RedisStore
from resilience.stores._redis_client import Client, cleared
from tests.servers import RedisServer, free_port, run_redis
from tests.shared_stores import KEY, acquire, is_admitted, place, release, take

# A store gives up after 0.25 s each to connect and to be answered; machines that run tests are busy.
LONGEST = 2.0


@contextlib.contextmanager
def opened(url: str, namespace: str = "t", *, gives_time: bool = False) -> Iterator[RedisStore]:
    store = RedisStore(url, namespace, gives_time=gives_time)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture(name="store")
def redis_store(redis_server: RedisServer) -> Iterator[RedisStore]:
    with opened(redis_server.url) as store:
        yield store


def calls_of(server: RedisServer, name: str) -> int:
    """How often clients have sent a command."""
    found = re.search(rb"cmdstat_%s:calls=(\d+)" % name.encode(), server.call("INFO", "commandstats"))
    return int(found[1]) if found else 0


def failure(act: Callable[[], object]) -> str:
    """What the store says when it cannot decide, and that it says so soon."""
    start = time.monotonic()
    with pytest.raises(StoreError) as caught:
        act()
    assert time.monotonic() - start < LONGEST
    return str(caught.value)


def test_a_decision_is_one_command_whatever_its_limits(redis_server: RedisServer, store: RedisStore) -> None:
    """The script is sent in whole once; then each decision names it, for one limit as for several."""
    spec = ["token_bucket", 3, 3600, 3, 1]
    keys = ("{p}:bucket:a", "{p}:bucket:b", "{p}:bucket:c")

    replies = [store.run(Command("bucket.reserve", keys, (0, [spec] * 3)), 0.0)[0] for _ in range(5)]

    assert [1, 1, 1, 0, 0] == replies
    assert (5, 1) == (calls_of(redis_server, "evalsha"), calls_of(redis_server, "eval"))


def test_many_decisions_are_one_round_trip(redis_server: RedisServer, store: RedisStore) -> None:
    """Those of one script are one call of it, and each has its own reply, in order."""
    store.run(take(), 0.0)

    replies = store.run_many([(take(), 0.0)] * 4)

    assert [1, 1, 0, 0] == [reply[0] for reply in replies if isinstance(reply, list)]
    assert 2 == calls_of(redis_server, "evalsha")


def test_decisions_on_one_state_are_made_in_order(redis_server: RedisServer, store: RedisStore) -> None:
    """Those of other kinds between them may come before or after; a place that is given back is there for the next."""
    batch = [acquire("one"), take(amount=1), release("one"), acquire("two"), take(amount=1), acquire("three")]

    replies = store.run_many([(command, 0.0) for command in batch])

    assert [1, 1, 1, 1, 0, 0] == [reply[0] for reply in replies if isinstance(reply, list)]
    # An acquiring, a releasing, two acquirings; two takings.
    assert 4 == calls_of(redis_server, "eval")


def test_a_batch_is_cut_where_it_would_hold_the_server_up(redis_server: RedisServer, store: RedisStore) -> None:
    """While a script runs the server answers nobody else."""
    replies = store.run_many([(take(amount=100), 0.0)] * 120)

    assert [1] * 100 + [0] * 20 == [reply[0] for reply in replies if isinstance(reply, list)]
    assert 3 == calls_of(redis_server, "eval")


@pytest.mark.parametrize("size", [1, 3])
def test_a_batch_whose_answer_is_lost_is_not_sent_again(
    redis_server: RedisServer, store: RedisStore, size: int
) -> None:
    """The connection breaks behind the decision: whoever asked decides without it, and it was made once."""
    assert is_admitted(store, take(amount=9))

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, socket.create_connection(("127.0.0.1", redis_server.port)) as server:
                    while data := client.recv(65536):
                        server.sendall(data)
                        answer = server.recv(65536)
                        if b"EVALSHA" in data:
                            break
                        client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with opened(f"redis://127.0.0.1:{listener.getsockname()[1]}") as broken:
            failure(lambda: broken.run_many([(take(amount=9), 0.0)] * size))
        listener.shutdown(socket.SHUT_RDWR)

    assert [1] * (8 - size) + [0] == [store.run(take(amount=9), 0.0)[0] for _ in range(9 - size)]


@pytest.mark.parametrize("size", [1, 3])
def test_a_server_that_has_become_a_replica_is_an_error_of_all(
    redis_server: RedisServer, store: RedisStore, size: int
) -> None:
    """It is what a client that follows a master looks for the new one at; inside of an answer nobody would see it."""
    store.run(take(), 0.0)
    redis_server.call("REPLICAOF", "127.0.0.1", "1")
    redis_server.call("CONFIG", "SET", "replica-serve-stale-data", "yes")

    (answer,) = store._client.call_all(
        [("EVALSHA", lua_named("bucket.reserve").digest, *store._words([(take(), 0.0)] * size))]
    )

    # Older servers put what fails within a script into words: nobody's client understands that by itself.
    version = re.search(rb"redis_version:(\d+)", redis_server.call("INFO", "server"))
    assert version is not None
    assert isinstance(answer, redis.exceptions.ResponseError)
    assert isinstance(answer, redis.exceptions.ReadOnlyError) or (int(version[1]) < 7 and "-READONLY" in str(answer))


def test_a_decision_that_breaks_off_has_saved_nothing_of_its_neighbours(
    redis_server: RedisServer, store: RedisStore
) -> None:
    """Arguments that no script can read are the fault of one decision among its like."""
    bad = Command("bucket.reserve", (KEY,), (0, ["no spec"]))

    first, second, third = store.run_many([(take(amount=2), 0.0), (bad, 0.0), (take(amount=2), 0.0)])

    assert [1, 1] == [reply[0] for reply in (first, third) if isinstance(reply, list)]
    assert isinstance(second, StoreError)
    assert not is_admitted(store, take(amount=2))


def test_one_failing_decision_does_not_spoil_the_others(redis_server: RedisServer, store: RedisStore) -> None:
    """A key of another program is the fault of the decision that needs it."""
    redis_server.call("LPUSH", "t:{p}:bucket:list", "not ours")

    first, second, third = store.run_many([(take(), 0.0), (take(key="{p}:bucket:list"), 0.0), (take(), 0.0)])

    assert isinstance(first, list)
    assert isinstance(third, list)
    assert isinstance(second, StoreError)
    assert "WRONGTYPE" in str(second)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    "script",
    [
        "redis.call('SET', KEYS[1], 'hello')",
        "redis.call('SET', KEYS[1], '')",
        "redis.call('SET', KEYS[1], string.char(0x93, 1, 2))",
        "redis.call('SET', KEYS[1], string.char(0xc1))",
        "redis.call('SET', KEYS[1], cmsgpack.pack(0, 0, 1e12, {}))",
        "redis.call('SET', KEYS[1], cmsgpack.pack(0, 0, 1e12, {earliest = 1e12, holders = 3}))",
        "redis.call('RPUSH', KEYS[1], 'hello')",
    ],
)
def test_a_value_of_another_program_is_no_fault_of_the_server(
    script: str, number: int, redis_server: RedisServer, store: RedisStore
) -> None:
    """It is the fault of its key alone, for which a store is not left: whatever stands there, and however it is asked for."""
    key = "{p}:permits:theirs"
    redis_server.call("EVAL", script, "1", f"t:{key}")

    replies = store.run_many([(acquire("one", key=key), 0.0)] * number)

    assert [StateError] * number == [type(reply) for reply in replies]


def test_a_batch_that_is_broken_off_leaves_its_answers_to_nobody(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between two answers: what the server still sends is not read as the answer of the next decision."""
    assert [1, 1] == [reply[0] for reply in store.run_many([(take(amount=9), 0.0)] * 2) if isinstance(reply, list)]
    real = redis.connection.Connection.read_response
    answers: list[object] = []

    def interrupted(*arguments: object, **options: object) -> object:
        if answers:
            raise KeyboardInterrupt
        answers.append(real(*arguments, **options))  # type: ignore[arg-type]
        return answers[0]

    with monkeypatch.context() as patch:
        patch.setattr(redis.connection.Connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.run_many([(take(amount=9), 0.0), (acquire("one", key="{p}:permits:a"), 0.0)])

    assert place(store, "one")
    assert [1] * 6 + [0] == [store.run(take(amount=9), 0.0)[0] for _ in range(7)]


def test_answers_are_read_as_they_are_whatever_the_url_says(redis_server: RedisServer) -> None:
    """An application's URL may have its own client decode texts; ours are numbers."""
    with opened(f"{redis_server.url}?decode_responses=true") as store:
        assert [True, True, True, False] == [is_admitted(store) for _ in range(4)]
        assert 1 == len(list(store.scan()))


def test_a_server_that_forgot_its_scripts_is_told_again(redis_server: RedisServer, store: RedisStore) -> None:
    """A restart, SCRIPT FLUSH and a failover empty the script cache, not the limits' minds."""
    assert is_admitted(store)

    redis_server.call("SCRIPT", "FLUSH")
    replies = store.run_many([(take(), 0.0)] * 3)

    assert [1, 1, 0] == [reply[0] for reply in replies if isinstance(reply, list)]


def test_the_clocks_of_clients_do_not_matter(redis_server: RedisServer, store: RedisStore) -> None:
    """Two machines whose clocks are a day apart share one limit, by the server's time."""
    with opened(redis_server.url) as other:
        assert is_admitted(store, now=0.0)
        assert is_admitted(other, now=86_400.0)
        assert is_admitted(store, now=-5.0)
        assert not is_admitted(other, now=1e9)

        assert abs(other.now(1e9) - store.now(-5.0)) < 1


def test_a_server_whose_clock_is_set_back_goes_on_from_where_it_was(redis_server: RedisServer) -> None:
    """Neither does a lease last an hour longer, nor is anything admitted twice."""
    with opened(redis_server.url, gives_time=True) as store:
        assert place(store, "one", now=7200.0, lease=60.0)

        assert not place(store, "two", now=3600.0, lease=60.0)
        assert not place(store, "two", now=3650.0, lease=60.0)
        assert place(store, "two", now=3661.0, lease=60.0)
        assert not place(store, "three", now=3700.0)


def test_the_time_is_known_before_the_first_decision(store: RedisStore) -> None:
    """Whoever shows states asks for the time alone."""
    assert abs(store.now(5.0) - time.time()) < LONGEST
    assert abs(store.now(65.0) - time.time() - 60) < LONGEST


def test_every_key_is_named_for_us_and_expires(redis_server: RedisServer, store: RedisStore) -> None:
    """Namespace, provider in braces (so that a cluster keeps its keys together), kind; no key stays for ever."""
    store.run(take(), 0.0)
    store.run(acquire("one"), 0.0)
    store.probe()

    keys = redis_server.call("KEYS", "*")

    assert {b"t:{p}:bucket:hourly:-", b"t:{p}:permits:places:-", b"t:probe"} == set(re.findall(rb"t:\S+", keys))
    for key in ("t:{p}:bucket:hourly:-", "t:{p}:permits:places:-", "t:probe"):
        left = int(redis_server.call("PTTL", key)[1:])
        assert 0 < left <= 10_000_000, key


def test_applications_with_other_namespaces_do_not_meet(redis_server: RedisServer, store: RedisStore) -> None:
    """One server serves many applications, whose accounts are not the same."""
    with opened(redis_server.url, "other") as other:
        assert place(store, "one")
        assert place(other, "two")

        assert ["t"] * 1 == ["t" for _ in store.scan()]
        assert 1 == len(list(other.scan()))


def test_a_scan_shows_states_and_that_some_are_not_ours(redis_server: RedisServer, store: RedisStore) -> None:
    """With keys as they were given; what other programs have put beside them, or in their place, breaks nothing."""
    store.run(acquire("one", most=5), 0.0)
    store.run(acquire("one", key="{q}:permits:x"), 0.0)
    redis_server.call("LPUSH", "t:{p}:list", "x")
    redis_server.call("SET", "t:{p}:text", "no state at all")

    found = dict(store.scan("{p}:"))

    places = found.pop("{p}:permits:places:-")
    assert 5 == places["number"]
    assert ["one"] == list(places["holders"])
    assert {"{p}:list": {}, "{p}:text": {}} == found
    assert {"{p}:permits:places:-", "{q}:permits:x", *found} == {key for key, _ in store.scan()}
    assert 0 == calls_of(redis_server, "keys")


def test_a_scan_passes_over_keys_and_shows_states_that_are_no_text(
    redis_server: RedisServer, store: RedisStore
) -> None:
    """Redis takes any bytes: what others have written hides none of our own states."""
    assert place(store, "one")
    key, state = r"redis.call('SET', 't:{p}:\255\254', 'x')", r"cmsgpack.pack(1, 1, 1, {why = '\255'})"
    assert b"-" != redis_server.call("EVAL", f"{key} redis.call('SET', 't:{{q}}:latch:x', {state}) return 1", "0")[:1]

    found = dict(store.scan())

    assert {"why": "\N{REPLACEMENT CHARACTER}"} == found.pop("{q}:latch:x")
    assert 1 == len(found)


def test_a_scan_takes_no_part_of_a_key_for_a_pattern(redis_server: RedisServer, store: RedisStore) -> None:
    """A `*`, `?` or `[` of a prefix stands for itself."""
    for key in ("{p}:a*b", "{p}:axb", "{p}:a[xyz]b", r"{p}:a\b"):
        store.run(acquire("one", key=key), 0.0)

    for prefix in ("{p}:a*", "{p}:a[x", "{p}:a\\"):
        assert [prefix] == [key[: len(prefix)] for key, _ in store.scan(prefix)]
    assert [] == list(store.scan("{p}:a?"))


def test_a_scan_has_an_end(redis_server: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that others fill is not read to its end."""
    monkeypatch.setattr("resilience.stores._redis._MOST_SCANNED", 25)
    store.run_many([(acquire("one", key=f"{{p}}:permits:{number}"), 0.0) for number in range(100)])

    assert 25 == len(list(store.scan()))


def test_a_server_that_is_down_is_said_to_be(redis_server: RedisServer, store: RedisStore) -> None:
    """Also one that has gone between two decisions; and all is well when it is back, empty."""
    assert place(store, "one")
    redis_server.stop()

    for act in (
        lambda: store.run(take(), 0.0),
        store.probe,
        lambda: list(store.scan()),
        lambda: store.run_many([(take(), 0.0)] * 2),
    ):
        assert str(redis_server.port) in failure(act)

    redis_server.start()
    assert place(store, "two")


def test_a_connection_that_was_closed_meanwhile_is_made_anew(redis_server: RedisServer, store: RedisStore) -> None:
    """By a restart, a proxy, or a server that ends idle connections: no decision fails for it."""
    assert place(store, "one")
    redis_server.stop()
    redis_server.start()

    assert place(store, "two")
    redis_server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert not place(store, "three")


def test_connections_are_kept_and_let_go(redis_server: RedisServer, store: RedisStore) -> None:
    """One serves all decisions of a thread; none is left of a store that was closed, which may be used again."""
    for _ in range(5):
        store.run(take(), 0.0)
    clients = redis_server.call("CLIENT", "LIST").count(b"id=")

    store.close()

    assert 2 == clients
    until = time.monotonic() + LONGEST
    while (left := redis_server.call("CLIENT", "LIST").count(b"id=")) > 1 and time.monotonic() < until:
        pass
    assert 1 == left
    assert place(store, "one")


def test_the_time_of_a_server_that_is_down_is_unknown() -> None:
    """Asked first, before any decision."""
    with opened(f"redis://127.0.0.1:{free_port()}") as store:
        failure(lambda: store.now(0.0))


def test_a_frozen_server_is_given_up_soon(redis_server: RedisServer, store: RedisStore) -> None:
    """It accepts connections and answers nothing; no decision waits for long, nor reads an old answer later."""
    assert place(store, "one")
    redis_server.freeze()

    failure(lambda: store.run(take(), 0.0))
    failure(lambda: store.run_many([(take(), 0.0)] * 3))

    redis_server.thaw()
    assert [2.0] != store.run(release("nobody"), 0.0)
    assert not place(store, "two")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "OOM|maxmemory|memory"),
        (("REPLICAOF", "127.0.0.1", "1"), "read only replica|MASTERDOWN|Connection"),
        (("LPUSH", f"t:{KEY}", "x"), "WRONGTYPE"),
        (("SET", f"t:{KEY}", "no record"), "not of this library"),
        (("CONFIG", "SET", "requirepass", "hunter2"), "[Aa]uth"),
    ],
    ids=["full", "replica", "type", "garbage", "password"],
)
def test_a_server_that_cannot_write_is_said_to_be(
    redis_server: RedisServer, store: RedisStore, spoil: tuple[str, ...], words: str
) -> None:
    """Memory, replication, other programs' values, a password that has been changed."""
    assert redis_server.call(*spoil)[:1] in {b"+", b":"}

    found = failure(lambda: store.run(take(), 0.0))

    assert re.search(words, found), found
    assert "hunter2" not in found


def test_a_full_or_read_only_server_fails_the_probe(redis_server: RedisServer, store: RedisStore) -> None:
    """A probe writes: a server that only answers is of no use."""
    store.probe()
    redis_server.call("CONFIG", "SET", "maxmemory", "1")

    failure(store.probe)


def test_a_server_without_scripts_is_said_to_be_unfit() -> None:
    """A proxy, or a server older than its scripts, knows no EVALSHA."""
    with run_redis("--rename-command", "EVALSHA", "") as server, opened(server.url) as store:
        assert "unknown command" in failure(lambda: store.run(take(), 0.0))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "[Ll]oading"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP|Protocol"),
        (b"", "."),
        (b"+OK\r\n", "what answers there is no Redis"),
        (b":1\r\n", "what answers there is no Redis"),
        (b"*0\r\n", "what answers there is no Redis"),
        (b"*1\r\n" * 10_000 + b"*0\r\n", "what answers there is no Redis"),
    ],
    ids=["loading", "http", "closes", "word", "number", "list", "lists"],
)
def test_what_is_no_ready_server_is_said_to_be_none(answer: bytes, words: str) -> None:
    """One that still reads its data, a web server on the port, one that hangs up, ones that answer all alike."""

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(LONGEST)
                    while client.recv(65536) and answer:
                        client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with opened(f"redis://127.0.0.1:{listener.getsockname()[1]}") as store:
            for act in (lambda: store.run(take(), 0.0), store.probe):
                assert re.search(words, failure(act))
            assert failure(lambda: list(store.scan()))
        listener.shutdown(socket.SHUT_RDWR)


def test_a_wrong_password_is_never_shown() -> None:
    """Neither in what the store says of itself nor in what goes wrong, however it is written in the URL."""
    with run_redis("--requirepass", "right") as server:
        secret = "s3cr3t%2Fpass"
        url = f"redis://someone:{secret}@127.0.0.1:{server.port}/0"
        with opened(url) as store:
            words = failure(lambda: store.run(take(), 0.0)) + store.url + repr(store)

            assert "s3cr3t" not in words
            assert "someone" not in words
            assert f"redis://127.0.0.1:{server.port}/0" == store.url
        with opened(f"redis://:right@127.0.0.1:{server.port}") as store:
            assert is_admitted(store)


def test_what_an_error_quotes_is_cleared() -> None:
    """Libraries put URLs, passwords and queries into their errors; lines and lengths are kept too."""
    url = "redis://me:p%40ss@host:1/0?password=other"
    error = ValueError(f"cannot use {url}\n me:p@ss p@ss p%40ss password=other " + "x" * 1000)

    words = cleared(error, url)

    assert not any(secret in words for secret in ("p@ss", "p%40ss", "other", "\n"))
    assert 300 == len(words)
    assert "ValueError" == cleared(ValueError(), url)


@pytest.mark.parametrize("option", ["socket_timeout=soon", "db=x"])
def test_a_url_that_cannot_be_honoured_is_refused_when_the_store_is_made(option: str) -> None:
    """Before any call is made, and without its password."""
    with pytest.raises(ConfigurationError, match="redis://host:1") as caught:
        RedisStore(f"redis://:hunter2@host:1/0?{option}")

    assert "hunter2" not in str(caught.value)


def test_missing_packages_are_named_with_the_command_that_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra brings them; its name is in the message."""
    monkeypatch.setitem(__import__("sys").modules, "limits.storage", None)

    with pytest.raises(ConfigurationError, match=re.escape("pip install 'httpx-resilience[redis]'")):
        RedisStore("redis://localhost")


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_valkey_is_redis(redis_server: RedisServer, scheme: str) -> None:
    """Both speak the same protocol, and one package serves both."""
    with opened(redis_server.url.replace("redis", scheme)) as store:
        assert is_admitted(store)
    with opened(f"{scheme}+unix://{redis_server.socket}") as store:
        assert is_admitted(store)


@pytest.mark.parametrize(
    ("url", "is_secure", "plain"),
    [
        ("redis://h", False, "redis://h"),
        ("rediss://h", False, "rediss://h"),
        ("valkeys://h", False, "rediss://h"),
        ("rediss+cluster://h:1", True, "redis+cluster://h:1"),
        ("valkeys+sentinel://h:1/s", True, "redis+sentinel://h:1/s"),
        ("redis+sentinel://h:1/s", False, "redis+sentinel://h:1/s"),
    ],
)
def test_encrypted_connections_are_asked_for_where_the_url_does(url: str, is_secure: bool, plain: str) -> None:
    """Limits knows `rediss://`; for clusters and sentinels the connections are told."""
    client = Client(url)

    assert plain == client._plain_url()
    assert is_secure == client._options().get("ssl", False)
    if "sentinel" in url:
        assert is_secure == client._options()["sentinel_kwargs"].get("ssl", False)


@pytest.fixture(name="cluster")
def two_node_cluster() -> Iterator[list[RedisServer]]:
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with run_redis(*options) as one, run_redis(*options) as two:
        one.call("CLUSTER", "ADDSLOTS", *map(str, range(8000)))
        two.call("CLUSTER", "ADDSLOTS", *map(str, range(8000, 16384)))
        assert b"+OK\r\n" == one.call("CLUSTER", "MEET", "127.0.0.1", str(two.port))
        until = time.monotonic() + 20
        while not all(
            b"cluster_state:ok" in each.call("CLUSTER", "INFO")
            and b"cluster_known_nodes:2" in each.call("CLUSTER", "INFO")
            for each in (one, two)
        ):
            assert time.monotonic() < until
            time.sleep(0.02)
        yield [one, two]


def test_a_cluster_decides_on_the_node_of_the_provider(cluster: list[RedisServer]) -> None:
    """All keys of a provider stand on one node, those of several on several, and one batch may go to all of them."""
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in cluster)
    providers = [f"provider-{number}" for number in range(12)]
    spec = ["token_bucket", 2, 3600, 2, 1]
    commands = [
        Command("bucket.reserve", (f"{{{name}}}:bucket:a", f"{{{name}}}:bucket:b"), (0, [spec, spec]))
        for name in providers
    ]
    with opened(f"redis+cluster://{hosts}") as store:
        assert [1] * 12 == [store.run(command, 0.0)[0] for command in commands]
        replies = store.run_many([(command, 0.0) for command in commands * 2])
        assert [1] * 12 + [0] * 12 == [reply[0] for reply in replies if isinstance(reply, list)]
        assert 24 == len({key for key, _ in store.scan()})
        assert abs(store.now(0.0) - time.time()) < LONGEST
        store.probe()
        assert all(b":0\r\n" != each.call("DBSIZE") for each in cluster)


def test_a_cluster_that_is_down_is_given_up_soon(cluster: list[RedisServer]) -> None:
    """Whether it was never there or has gone; the URL is no mistake of the configuration."""
    with opened(f"redis+cluster://127.0.0.1:{free_port()}") as store:
        failure(lambda: store.run(take(), 0.0))
    with opened(f"redis+cluster://127.0.0.1:{cluster[0].port}") as store:
        assert is_admitted(store)
        for each in cluster:
            each.stop()

        failure(lambda: store.run(take(), 0.0))
        failure(lambda: store.run_many([(take(), 0.0)] * 2))
        failure(lambda: list(store.scan()))


def test_sentinels_lead_to_the_master(redis_server: RedisServer, tmp_path: Path) -> None:
    """The URL names sentinels and a service; a service that they do not know is given up soon."""
    settings = tmp_path / "sentinel.conf"
    settings.write_text(f"sentinel monitor orders 127.0.0.1 {redis_server.port} 1\n")
    with run_redis(binary_arguments=(str(settings), "--sentinel")) as sentinel:
        with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/orders") as store:
            assert is_admitted(store)
            assert 1 == calls_of(redis_server, "evalsha")
        with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/strangers") as store:
            failure(lambda: store.run(take(), 0.0))


def test_threads_share_a_store(store: RedisStore) -> None:
    """Thirty-two of them, each with a connection while it needs one."""
    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda _: store.run(take(amount=50), 0.0)[0], range(320)))

    assert 50 == sum(replies)


def test_arguments_and_times_arrive_exactly(redis_server: RedisServer) -> None:
    """Every double survives the way to Lua, into the state, out of it and back."""
    with opened(redis_server.url, gives_time=True) as store:
        for now, wait in [(0.1, 1 / 3), (1_763_683_200.1234567, 2**-40), (4e15 / 7, 1e-9)]:
            key = f"{{p}}:permits:{now}"
            store.run(acquire("one", lease=wait, key=key), now)

            assert (now + wait) - now == store.run(acquire("two", lease=wait, key=key), now)[1]


def test_threads_that_outlive_the_main_one_may_be_the_first_to_ask(redis_server: RedisServer) -> None:
    """A program may begin its threads and end there; Python then lets nobody import what Redis needs."""
    code = """
import sys, threading
import httpx, resilience
resilience.install({"version": 1, "store": sys.argv[1]})
def work():
    threading.main_thread().join()
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json={}))) as client:
        print(client.get("https://api.anakin.io/v1/search").status_code)
threading.Thread(target=work).start()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, redis_server.url], capture_output=True, text=True, timeout=60, check=False
    )

    assert ("200\n", "") == (done.stdout, done.stderr)


def test_what_json_cannot_say_is_said(redis_server: RedisServer) -> None:
    """Without a bound on the wait there is no bound in Lua either."""
    with opened(redis_server.url, gives_time=True) as store:
        command = take(amount=1, max_wait=float("inf"))

        assert [1, 1] == [store.run(command, 5.0)[0] for _ in range(2)]


def test_a_forked_child_has_connections_of_its_own(redis_server: RedisServer) -> None:
    """It neither reads its parent's answers nor closes its parent's connections."""
    with opened(redis_server.url) as store:
        assert is_admitted(store)
        here, there = multiprocessing.Pipe()

        def fork() -> None:
            store.before_fork()
            store.after_fork(is_child=True)
            there.send([is_admitted(store), is_admitted(store)])

        process = multiprocessing.get_context("fork").Process(target=fork)
        process.start()
        assert here.poll(10)
        assert [True, True] == here.recv()
        process.join()

        assert not is_admitted(store)


def test_the_prelude_ends_where_the_scripts_begin(redis_server: RedisServer) -> None:
    """A time that is not given is the server's; one that is given is exact."""
    script = lua_of("return reply({arguments[1], now == 12.25 and 1 or 0})\n").text
    told = redis_server.call("EVAL", script, "0", json.dumps([[0, [0.1], 12.25]]))

    assert struct.pack("<3d", 12.25, 0.1, 1) in told


def test_a_state_counts_until_its_time(redis_server: RedisServer) -> None:
    """And not at it, as in memory."""
    script = lua_of("""
    local state = load(KEYS[1])
    if arguments[1] then save(KEYS[1], { seen = 1 }, 8) end
    return reply({ state and state.seen or 0 })
    """).text

    told = [
        redis_server.call("EVAL", script, "1", "t:key", json.dumps([[1, [is_first], now]]))
        for is_first, now in [(True, 1000), (False, 1004), (False, 1008)]
    ]

    assert [(1000, 0), (1004, 1), (1008, 0)] == [struct.unpack("<2d", each[-18:-2]) for each in told]
