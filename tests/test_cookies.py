"""Cookies work as without us; only answers that set none are not looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

import resilience
from resilience._cookies import Quick

LIBRARIES = {"httpx": httpx, "httpx2": httpx2}
URL = "https://api.anakin.io/v1/search"
libraries = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)


@pytest.fixture(params=["install", "wrap"])
def protect(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    if request.param == "install":
        resilience.install({"version": 1})
        yield lambda client: client
        resilience.uninstall()
    else:
        yield lambda client: resilience.wrap(client, config={"version": 1})


def server(module: Any, seen: list[str | None], *set_cookies: str) -> Any:
    answers = iter(set_cookies)

    def handle(request: Any) -> Any:
        seen.append(request.headers.get("cookie"))
        cookie = next(answers, None)
        return module.Response(200, headers={} if cookie is None else {"Set-Cookie": cookie})

    return module.MockTransport(handle)


@libraries
def test_a_cookie_that_an_answer_sets_goes_with_the_next_request(library: Any, protect: Callable[[Any], Any]) -> None:
    """Also one that a later answer sets, or takes away."""
    seen: list[str | None] = []
    client = protect(library.Client(transport=server(library, seen, "a=1", "b=2; path=/", "a=; max-age=0", "c=3")))

    for _ in range(5):
        client.get(URL)

    assert [None, "a=1", "a=1; b=2", "b=2", "c=3; b=2"] == seen
    assert {"b": "2", "c": "3"} == dict(client.cookies)
    assert isinstance(client.cookies, library.Cookies)


@libraries
def test_cookies_that_the_application_sets_go_with_the_next_request(
    library: Any, protect: Callable[[Any], Any]
) -> None:
    """One by one, or all of them anew."""
    seen: list[str | None] = []
    client = protect(library.Client(transport=server(library, seen), cookies={"own": "1"}))

    client.get(URL)
    client.cookies.set("more", "2")
    client.get(URL)
    client.cookies = {"new": "3"}
    client.get(URL)

    assert ["own=1", "own=1; more=2", "new=3"] == seen


@libraries
def test_others_of_their_class_are_made_as_the_library_makes_them(library: Any, protect: Callable[[Any], Any]) -> None:
    """Of whatever it takes: names and values, or others."""
    client = protect(library.Client(cookies={"a": "1"}))
    kind = type(client.cookies)

    assert {"b": "2"} == dict(kind({"b": "2"}))
    assert {"a": "1"} == dict(kind(client.cookies))
    assert kind(client.cookies).jar is not client.cookies.jar
    assert {} == dict(kind())


@libraries
def test_a_jar_of_the_applications_own_sees_every_answer(library: Any, protect: Callable[[Any], Any]) -> None:
    """What it does with them is not ours to know."""

    class Jar(CookieJar):
        looks = 0

        def extract_cookies(self, response: Any, request: Any) -> None:
            self.looks += 1

    jar = Jar()
    client = library.Client(transport=server(library, [], "a=1"))
    client.cookies.jar = jar
    client = protect(client)

    client.get(URL)

    assert 1 == jar.looks


@libraries
def test_what_an_application_has_of_its_cookies_stays_the_clients(library: Any, protect: Callable[[Any], Any]) -> None:
    """Its own attributes, a method of its own, and a jar that it puts there later."""
    seen: list[str | None] = []
    looks: list[Any] = []
    client = library.Client(transport=server(library, seen, "a=1"))
    held = client.cookies
    held.extract_cookies, held.mark = looks.append, "mine"
    client = protect(client)

    client.get(URL)
    held.jar = library.Cookies({"new": "2"}).jar
    client.get(URL)

    assert [None, "new=2"] == seen
    assert (2, "mine", "2") == (len(looks), client.cookies.mark, client.cookies["new"])


def test_a_url_that_the_standard_library_does_not_take_is_none(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A relative one, for which a mock has answered; httpx2 asks it for no other answers than we do."""
    policy = {"version": 1, "provider": "any", "match": {"hosts": ["*"]}}
    (tmp_path / "any.policy.yaml").write_text(json.dumps(policy))
    config = {"version": 1, "shipped": False, "policies": [str(tmp_path / "any.policy.yaml")]}

    def got(client: Any) -> str:
        with pytest.raises(ValueError, match="unknown url type") as raised:
            client.get("/search")
        return str(raised.value)

    bare = got(httpx.Client(transport=server(httpx, [])))
    wrapped = got(resilience.wrap(httpx.Client(transport=server(httpx, [])), config=config))
    request.addfinalizer(resilience.uninstall)
    resilience.install(config)

    assert bare == wrapped == got(httpx.Client(transport=server(httpx, [])))


def test_an_answer_that_sets_no_cookie_is_not_looked_at(
    protect: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs httpx a fifth of a call."""
    looks: list[Any] = []
    monkeypatch.setattr(httpx.Cookies, "extract_cookies", lambda _self, response: looks.append(response))
    client = protect(httpx.Client(transport=server(httpx, [], "a=1")))

    client.get(URL)
    client.get(URL)

    assert 1 == len(looks)
    assert not isinstance(httpx.Client().cookies, Quick)
