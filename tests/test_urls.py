"""URLs are merged as without us; only a text that was called before is not parsed again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any
from unittest import mock

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
    """By any method, and with parameters of its own; of one that is relative the join with the base URL is left."""
    client = protect(client_of(library, base_url="https://api.anakin.io/v1"))
    first = [client.get(URL).url, client.post("/again").url]
    parsed = count_parses(library, monkeypatch)
    again = [client.get(URL).url, client.post("/again").url]

    assert URL not in parsed
    assert "/again" not in parsed
    assert [URL, "https://api.anakin.io/v1/again"] == [str(url) for url in first] == [str(url) for url in again]
    assert f"{URL}?q=1" == str(client.get(URL, params={"q": "1"}).url)
    assert URL == str(client.get(library.URL(URL)).url)


@libraries
def test_a_client_that_calls_no_provider_parses_each_url(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what it called before, nor what others did; and `uninstall` leaves the library's classes as they were."""
    resilience.uninstall()
    before = [dict(vars(kind)) for kind in library.Client.__mro__[:-1]]
    resilience.install({"version": 1})
    try:
        client_of(library).get(URL)
        client = client_of(library)
        attributes = set(vars(client))
        parsed = count_parses(library, monkeypatch)
        for _ in range(3):
            client.get("https://api.elsewhere.test/")
        assert 3 == parsed.count("https://api.elsewhere.test/")
        assert attributes == set(vars(client))
    finally:
        resilience.uninstall()

    assert before == [dict(vars(kind)) for kind in library.Client.__mro__[:-1]]


@libraries
def test_a_base_url_holds_at_once_however_it_is_set(library: Any, protect: Protect) -> None:
    """Anew, in a copy, by a property of a class, or for the time of a test."""
    client = protect(client_of(library, base_url="https://api.anakin.io/v1"))
    seen = [str(client.get("jobs").url)]
    other = copy.copy(client)
    client.base_url, other.base_url = "https://api.anakin.io/v2", "https://api.openai.com"
    for each in (client, other, client):
        seen += [str(each.get("jobs").url) for _ in range(2)]

    two, openai = "https://api.anakin.io/v2/jobs", "https://api.openai.com/jobs"
    assert ["https://api.anakin.io/v1/jobs", two, two, openai, openai, two, two] == seen

    class Tenants(library.Client):  # type: ignore[misc]  a class of either library
        tenant = "one"

        @property
        def base_url(self) -> Any:
            return library.URL(f"https://{self.tenant}.anakin.io/")

    client = protect(Tenants(transport=library.MockTransport(lambda _: library.Response(200))))
    assert "https://one.anakin.io/jobs" == str(client.get("jobs").url)
    client.tenant = "two"
    assert "https://two.anakin.io/jobs" == str(client.get("jobs").url)
    with mock.patch.object(Tenants, "base_url", library.URL("https://mock.test/")):
        assert "https://mock.test/jobs" == str(client.get("jobs").url)
    assert "https://two.anakin.io/jobs" == str(client.get("jobs").url)


@libraries
def test_what_may_be_secret_or_hardly_comes_again_is_not_kept(
    library: Any, protect: Protect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in the query, a password, a fragment, a long address; and a crawler's addresses go as they come."""
    client = protect(client_of(library))
    parsed = count_parses(library, monkeypatch)
    long = f"{URL}/{'s' * 256}"
    for url in (f"{URL}?key=SECRET", "https://me:SECRET@api.anakin.io/v1/search", f"{URL}#token=SECRET", long):
        for _ in range(2):
            client.get(url)
        assert parsed.count(url) >= 2
    for number in range(257):
        client.get(f"{URL}/{number}")
    parsed.clear()
    for number in (256, 1, 0):
        client.get(f"{URL}/{number}")

    assert [f"{URL}/0"] == parsed


@libraries
@pytest.mark.parametrize("replaced", ["before", "after", "across"])
def test_somebody_elses_method_is_asked_and_goes_when_it_is_taken_off(
    library: Any, protect: Protect, replaced: str
) -> None:
    """A test's, say: whether it stood there first, came later, or was taken off while ours was there."""
    owner = next(kind for kind in library.Client.__mro__ if "_merge_url" in vars(kind))
    seen = list[Any]()

    def theirs(original: Any) -> Any:
        def method(self: Any, url: Any) -> Any:
            seen.append(url)
            return original(self, f"{url}/theirs")

        # Of a module that has imported the library's class.
        return FunctionType(method.__code__, {**globals(), "URL": library.URL}, closure=method.__closure__)

    made_before = protect(client_of(library)) if replaced != "before" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, "_merge_url", theirs(vars(owner)["_merge_url"]))
        client = made_before or protect(client_of(library))
        if replaced == "across":
            resilience.uninstall()
        seen.clear()
        assert [f"{URL}/theirs"] * 2 == [str(client.get(URL).url) for _ in range(2)]
        assert [URL] * 2 == seen

    assert URL == str(client.get(URL).url)
    assert [URL] * 2 == seen
    again = resilience.wrap(client_of(library), config={"version": 1})
    assert [URL] * 2 == [str(again.get(URL).url) for _ in range(2)]


@libraries
def test_a_class_in_the_place_of_the_librarys_is_asked_for_each_url(library: Any, protect: Protect) -> None:
    """For as long as a test has it there, whether it came before us or after, and nothing of it is left then."""
    client = protect(client_of(library))
    for _ in range(2):
        client.get(URL)
    with mock.patch(f"{library.__name__}._client.URL", wraps=library.URL) as asked:
        client.build_request("GET", URL)
        resilience.uninstall()
        other = protect(client_of(library))
        for each in (client, client, other, other):
            each.build_request("GET", URL)
        # The library's URLs equal their texts.
        assert [str] * 6 == [type(each.args[0]) for each in asked.call_args_list if each.args[0] == URL]
    assert [URL] * 4 == [str(each.get(URL).url) for each in (client, client, other, other)]


@libraries
def test_a_text_of_a_class_of_its_own_is_the_librarys(library: Any, protect: Protect) -> None:
    """It may say that it equals another."""

    class Sly(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash(URL)

    client = protect(client_of(library))
    client.get(URL)
    elsewhere = "https://api.elsewhere.test/"

    assert elsewhere == str(client.get(Sly(elsewhere)).url)
    assert URL == str(client.get(URL).url)


@libraries
def test_a_client_is_wrapped_where_the_librarys_names_are_replaced(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what makes clients, as tests have it."""
    client = client_of(library)
    monkeypatch.setattr(library, "Client", lambda **_: client)

    assert client is resilience.wrap(library.Client(), config={"version": 1})
    assert URL == str(client.get(URL).url)


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
def test_clients_that_stay_wrapped_parse_each_url_after_uninstall(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's classes are as they were, whoever changed them; and the next `wrap` serves the others again."""
    client = resilience.wrap(client_of(library), config={"version": 1})
    parsed = count_parses(library, monkeypatch)
    resilience.uninstall()
    for _ in range(3):
        client.get(URL)
    assert 3 == parsed.count(URL)

    resilience.wrap(client_of(library), config={"version": 1})
    parsed.clear()
    for _ in range(3):
        client.get(URL)
    assert 1 == parsed.count(URL)


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
