"""A store's URL: its environment variables, what is refused without connecting, and what people get to see of it."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._store_url import check_store_url, completed, without_credentials, words_without
from resilience.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "sqlite:///state.db",
        "sqlite:////var/lib/state.db",
        "redis://localhost",
        "redis://user:pa%40ss@cache.test:6379/2?timeout=1",
        "rediss://[::1]:6379",
        "redis+unix:///run/redis.sock",
        "redis+unix://:secret@/run/redis.sock",
        "redis+cluster://one:7000,two:7001",
        "redis+sentinel://one:26379,two:26379/main",
        "valkey://localhost:6379",
        "valkeys+cluster://one:7000",
    ],
)
def test_urls_of_stores(url: str) -> None:
    """Every kind of store, as limits names them; nothing connects."""
    check_store_url(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "this is not the URL of a store; write memory://"),
        ("redis", "this is not the URL of a store; write memory://"),
        ("user:secret@cache.test", "this is not the URL of a store; write memory://"),
        ("redi://user:secret@cache.test", "did you mean redis://?"),
        ("sqlite3:///state.db", "did you mean sqlite://?"),
        ("postgresql://user:secret@db", "this is not the URL of a store; write memory://"),
        ("x" * 21 + "://secret", "this is not the URL of a store; write memory://"),
        ("memory://somewhere", "memory:// takes nothing behind it"),
        ("sqlite://secret.db", "sqlite:// takes no host: a path follows a third slash"),
        ("sqlite:///", "sqlite:// needs the path of a file"),
        ("sqlite://", "sqlite:// needs the path of a file"),
        ("sqlite:///:memory:", "sqlite:// needs the path of a file"),
        ("sqlite:///state.db?mode=secret", "sqlite:// takes the path of a file and nothing behind it"),
        ("redis+unix://", "redis+unix:// needs the path of a file"),
        ("redis://", "redis:// needs a host"),
        ("redis://user:secret@:6379", "redis:// needs a host"),
        ("redis+cluster://one:7000,", "redis+cluster:// needs a host"),
        ("redis://cache.test:secret", "its host or port cannot be read"),
        ("redis://cache.test:99999", "its host or port cannot be read"),
        ("redis://cache.test:0", "its host or port cannot be read"),
        ("redis://[secret", "its host or port cannot be read"),
        ("redis+sentinel://one:26379", "redis+sentinel:// needs the name of the service as its path"),
    ],
)
def test_what_is_no_url_of_a_store(url: str, message: str) -> None:
    """Says what is wrong and what to write, and shows nothing that may be a password."""
    with pytest.raises(ConfigurationError) as caught:
        check_store_url(url)

    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "; " in str(caught.value)


@given(st.text(max_size=60) | st.from_regex(r"(redis|sqlite|valkey\+cluster)://[ -~]{0,40}", fullmatch=True))
def test_hostile_urls_are_only_ever_refused(url: str) -> None:
    """Whatever they hold."""
    with suppress(ConfigurationError):
        check_store_url(url)
    without_credentials(url)


def test_variables_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: what a variable holds is not looked through again. What only looks like one stays."""
    monkeypatch.setenv("ONE", "${TWO}")
    monkeypatch.delenv("TWO", raising=False)

    assert "redis://${TWO}/$ONE${1}" == completed("redis://${ONE}/$ONE${1}")
    with pytest.raises(ConfigurationError, match=r"the environment has no variable TWO; set it, or write the URL"):
        completed("redis://${ONE}${TWO}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("sqlite:///var/state.db", "sqlite:///var/state.db"),
        ("redis://user:secret@cache.test:6379/2", "redis://cache.test:6379/2"),
        ("redis://:sec/re?t@cache.test/2?password=secret", "redis://cache.test/2"),
        ("redis://user:secret@se@cache.test", "redis://cache.test"),
        ("redis://cache.test?password=secret", "redis://cache.test"),
        ("redis+unix://:secret@/run/redis.sock", "redis+unix:///run/redis.sock"),
        ("user:secret", "a URL"),
    ],
)
def test_people_see_no_password(url: str, shown: str) -> None:
    """Neither of the user part, however it is written, nor of the query."""
    assert shown == without_credentials(url)


@pytest.mark.parametrize("password", ["plain", "p@ss/w:rd#1", "100%41", "a?b&c=d", "@"])
def test_a_password_of_the_environment_may_have_any_sign(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken as it is; the host is the one that the file names."""
    monkeypatch.setenv("STORE_PASSWORD", password)

    url = completed("redis://:${STORE_PASSWORD}@cache.test:6379/0")

    check_store_url(url)
    parts = urlsplit(url)
    assert ("cache.test", 6379, password) == (parts.hostname, parts.port, unquote(parts.password or ""))


@pytest.mark.parametrize(
    "url", ["redis://:p@SECRET/x@cache.test:6379", "redis://:p@SECRET#x@cache.test", "redis://h/0#x"]
)
def test_a_password_with_signs_of_a_url_is_refused(url: str) -> None:
    """Or a part of it would be taken for the host, looked up, and shown."""
    with pytest.raises(ConfigurationError, match="write / as %2F") as caught:
        check_store_url(url)

    assert "SECRET" not in str(caught.value)


def test_an_at_sign_in_the_query_ends_no_credentials() -> None:
    """What follows it is a part of what the query hides."""
    assert "redis://h:1/0" == without_credentials("redis://h:1/0?password=a@bsecret")
    assert "redis://h" == without_credentials("redis://h?password=a@bsecret")


@pytest.mark.parametrize("password", ["hunter?2=x", "?=", "hunter?a=b&c=d", "1?x=y"])
def test_a_password_that_looks_like_a_query_is_none(password: str) -> None:
    """It ends at the at-sign, whatever stands before that."""
    assert "redis://host" == without_credentials(f"redis://me:{password}@host")


@pytest.mark.parametrize(
    ("url", "words", "expected"),
    [
        ("redis://me:s%40crt@h", "bad s@crt or s%40crt, me", "bad REDACTED or REDACTED, me"),
        ("redis://:pw@h", "bad pw", "bad REDACTED"),
        ("redis://h/0?db=0&password=pw", "bad pw, and db=0&password=pw, 0", "bad REDACTED, and REDACTED, 0"),
        ("redis://h/0?db=0", "0 is bad", "0 is bad"),
        ("redis://h", "bad", "bad"),
    ],
)
def test_what_is_said_of_a_store_has_nothing_of_its_credentials(url: str, words: str, expected: str) -> None:
    """However short they are, encoded or not."""
    assert expected == words_without(words, url)
