"""URLs are merged as without us; only those that a client has called before are not parsed again."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilience

LIBRARIES = {"httpx": httpx, "httpx2": httpx2}
URL = "https://api.anakin.io/v1/search"
libraries = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
Protect = Callable[[Any], Any]


@pytest.fixture(params=["install", "wrap"])
def protect(request: pytest.FixtureRequest) -> Iterator[Protect]:
    """Clients that obey a policy, and have called its provider."""

    def called(client: Any) -> Any:
        client.get(URL)
        return client

    if request.param == "install":
        resilience.install({"version": 1})
        yield called
        resilience.uninstall()
    else:
        yield lambda client: called(resilience.wrap(client, config={"version": 1}))


def client_of(library: Any, **options: Any) -> Any:
    return library.Client(transport=library.MockTransport(lambda _: library.Response(200)), **options)


def made(client: Any, url: Any) -> str:
    """The URL of a request, or the error in its place."""
    try:
        return str(client.build_request("GET", url).url)
    except Exception as error:
        return repr(error)


def count_parses(library: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are parsed from now on."""
    module = __import__(f"{library.__name__}._urls", fromlist=["urlparse"])
    parsed, original = list[str](), module.urlparse

    def urlparse(url: str = "", **parts: Any) -> Any:
        parsed.append(url)
        return original(url, **parts)

    monkeypatch.setattr(module, "urlparse", urlparse)
    return parsed


@libraries
def test_a_url_that_was_called_before_is_not_parsed_again(
    library: Any, protect: Protect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absolute ones, and those that begin with the client's base URL; by any method, and with parameters of its own."""
    client = protect(client_of(library, base_url="https://api.anakin.io/v1"))
    parsed = count_parses(library, monkeypatch)

    first = [client.get(URL).url, client.post("/jobs").url]
    assert parsed
    parsed.clear()
    again = [client.get(URL).url, client.post("/jobs").url]

    assert [] == parsed
    assert [URL, "https://api.anakin.io/v1/jobs"] == [str(url) for url in first] == [str(url) for url in again]
    assert f"{URL}?q=1" == str(client.get(URL, params={"q": "1"}).url)
    assert URL == str(client.get(library.URL(URL)).url)


@libraries
def test_a_base_url_that_is_set_anew_holds_from_the_next_call_on(library: Any, protect: Protect) -> None:
    """Also of a copy, which has the other's memory and a base URL of its own."""
    client = protect(client_of(library, base_url="https://api.anakin.io/v1"))
    seen = [str(client.get("jobs").url)]
    other = copy.copy(client)
    client.base_url, other.base_url = "https://api.anakin.io/v2", "https://api.openai.com"
    for each in (client, other, client):
        seen += [str(each.get("jobs").url) for _ in range(2)]

    two, openai = "https://api.anakin.io/v2/jobs", "https://api.openai.com/jobs"
    assert ["https://api.anakin.io/v1/jobs", two, two, openai, openai, two, two] == seen


@libraries
def test_what_may_be_secret_or_hardly_comes_again_is_not_kept(library: Any, protect: Protect) -> None:
    """A key in the query, a password, a long address; and a crawler's addresses go as they come."""
    client = protect(client_of(library))
    for url in (f"{URL}?key=SECRET", "https://me:SECRET@api.anakin.io/v1/search", f"{URL}/{'SECRET' * 50}"):
        assert str(client.get(url).url).startswith("https://")
    assert "SECRET" not in repr(vars(client))
    for number in range(1000):
        client.get(f"{URL}/{number}")

    assert 0 < len(vars(client)["_resilience_urls"]) <= 32


@libraries
@pytest.mark.parametrize(
    "url", ["https://h:x/", "https://a\x00b", "a" * 70_000, 5, None, [], b"https://h", "", "nowhere"]
)
def test_what_is_no_url_is_refused_as_without_us(library: Any, protect: Protect, url: Any) -> None:
    """Each time, where the library refuses it."""
    client = protect(client_of(library))

    assert [made(client_of(library), url)] * 2 == [made(client, url), made(client, url)]


@libraries
def test_a_client_that_makes_its_urls_itself_does(library: Any, protect: Protect) -> None:
    """And what it hands on to the library may be kept there."""

    class Rotating(library.Client):  # type: ignore[misc]  a class of either library
        calls = 0

        def _merge_url(self, url: Any) -> Any:
            self.calls += 1
            return super()._merge_url(f"{url}/{self.calls}")

    client = protect(Rotating(transport=library.MockTransport(lambda _: library.Response(200))))

    assert [f"{URL}/2", f"{URL}/3"] == [str(client.get(URL).url) for _ in range(2)]


@libraries
def test_a_client_that_calls_no_provider_keeps_nothing(library: Any) -> None:
    """And `uninstall` leaves the library's classes as they were."""
    before = [dict(vars(kind)) for kind in library.Client.__mro__[:-1]]
    resilience.install({"version": 1})
    try:
        client = client_of(library)
        client.get("https://api.elsewhere.test/")
        assert "_resilience_urls" not in vars(client)
    finally:
        resilience.uninstall()

    assert before == [dict(vars(kind)) for kind in library.Client.__mro__[:-1]]


def test_uninstall_leaves_it_to_the_clients_that_stay_wrapped() -> None:
    """Each in a process of its own: the tests of this one have wrapped some."""
    for calls, is_left in (
        ("resilience.install({'version': 1}); resilience.uninstall()", False),
        ("resilience.wrap(httpx.Client()); resilience.install({'version': 1}); resilience.uninstall()", True),
        ("resilience.install({'version': 1}); resilience.wrap(httpx.Client()); resilience.uninstall()", True),
    ):
        program = f"import httpx, resilience; {calls}; print(hasattr(httpx.Client._merge_url, '__wrapped__'))"
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert f"{is_left}\n" == run.stdout


_PARTS = st.sampled_from(
    ["", "/", "a", "/a", "./b", "../c", "?q", "#f", "//h/x", "https://h", "HTTPS://H:443/é", "a%20b", "%zz"]
)


@libraries
@given(
    steps=st.lists(
        st.tuples(_PARTS, _PARTS, st.sampled_from(["", "https://one.test/v1", "https://two.test"])), max_size=12
    )
)
def test_urls_are_merged_as_without_us(library: Any, steps: list[tuple[str, str, str]]) -> None:
    """Whatever was merged before, and with whatever base."""
    bare, client = client_of(library), resilience.wrap(client_of(library), config={"version": 1})

    for first, second, base in steps:
        bare.base_url = client.base_url = base
        for _ in range(2):
            assert made(bare, first + second) == made(client, first + second)
