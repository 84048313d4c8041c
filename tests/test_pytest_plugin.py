"""The plugin for pytest, in test suites of others: real pytest processes, with the plugins that they have beside it."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest

import resilience.httpx
from resilience import Trail
from resilience.testing import VirtualClock, assert_trail, fake_provider
from tests.installed import as_installed

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parent.parent
APPLICATION = """
import httpx, httpx2, resilience

resilience.install({"version": 1})
HEADERS = {"X-API-Key": "k"}
installed = httpx.Client(base_url="https://api.anakin.io", headers=HEADERS)
newer = httpx2.Client(base_url="https://api.anakin.io", headers=HEADERS)
wrapped = resilience.wrap(httpx.Client(base_url="https://api.anakin.io", headers=HEADERS), ["anakin"])


def search(client=installed):
    return client.post("/v1/search", json={"prompt": "httpx"})


async def search_async():
    async with httpx.AsyncClient(base_url="https://api.anakin.io", headers=HEADERS) as client:
        return await client.post("/v1/search", json={"prompt": "httpx"})
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project whose environment has the library installed, as its wheel says."""
    site = pytester.mkdir("site")
    as_installed(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
    monkeypatch.delenv("RESILIENCE_CONFIG", raising=False)
    # The plugin of ddtrace takes longer to import than all the rest; it is here for other tests.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:ddtrace")
    pytester.makepyfile(shop=APPLICATION)
    return pytester


def run(suite: pytest.Pytester, tests: str, *arguments: str, ini: str = "") -> pytest.RunResult:
    suite.makepyfile(test_it=tests)
    suite.makeini(
        f"[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\naddopts = --strict-markers\n{ini}\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
    return suite.run(*command, timeout=120)


def test_an_application_as_it_is_meets_a_scripted_provider_in_virtual_time(suite: pytest.Pytester) -> None:
    """Clients that it made when it was imported, wrapped or not, of both libraries, sync and async, in both async plugins."""
    done = run(
        suite,
        """
        import pytest, shop
        from resilience.testing import assert_trail

        @pytest.mark.parametrize("name", ["installed", "wrapped", "newer"])
        def test_sync(resilience_clock, resilience_provider, name):
            provider = resilience_provider("anakin", script="429 retry-after 7, success")
            answer = shop.search(getattr(shop, name))
            assert "https://api.anakin.io/v1/search" == str(answer.request.url)
            assert [429, 200] == [request.status for request in provider.requests]
            assert "api.anakin.io" == provider.requests[0].headers["host"]
            assert [7.0] == resilience_clock.slept
            assert_trail(answer, attempts=2, waited=7, statuses=[429, 200], ended="success", refused=False)

        @pytest.mark.asyncio
        async def test_asyncio(resilience_clock, resilience_provider):
            resilience_provider("anakin", script="429 retry-after 7, success")
            assert_trail(await shop.search_async(), attempts=2, waited=[7.0])

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
        async def test_anyio(resilience_clock, resilience_provider, anyio_backend):
            resilience_provider("anakin", script="429 retry-after 7, success")
            assert_trail(await shop.search_async(), attempts=2, waited=[7.0])

        def test_after_it_all_is_real_again():
            import httpx, time
            from resilience._clock import RealClock
            assert RealClock.now is time.monotonic
            assert not hasattr(httpx.HTTPTransport.handle_request, "__wrapped__")
        """,
    )
    done.assert_outcomes(passed=7)


def test_unit_tests_that_replace_transports_are_untouched_where_it_is_off(suite: pytest.Pytester) -> None:
    """With pytest-httpx, respx and MockTransport: one request, the answer as it was made, nothing waited or kept."""
    done = run(
        suite,
        """
        import httpx, pytest, resilience, shop
        from resilience.testing import assert_trail

        def test_pytest_httpx(httpx_mock):
            httpx_mock.add_response(status_code=503, headers={"Retry-After": "30"})
            assert 503 == shop.search().status_code
            assert 1 == len(httpx_mock.get_requests())

        def test_respx(respx_mock):
            route = respx_mock.post("https://api.anakin.io/v1/search").respond(429)
            answer = shop.search(shop.wrapped)
            assert (429, 1) == (answer.status_code, route.call_count)
            assert resilience.trail_of(answer) is None
            assert "x-should-retry" not in answer.headers

        @pytest.mark.asyncio
        async def test_async(httpx_mock):
            httpx_mock.add_response(status_code=503)
            assert 503 == (await shop.search_async()).status_code

        @pytest.mark.resilience("on")
        def test_on(resilience_clock):
            sent = []
            def provider(request):
                sent.append(request)
                return httpx.Response(429, headers={"Retry-After": "3"}) if len(sent) == 1 else httpx.Response(200)
            with httpx.Client(transport=httpx.MockTransport(provider), base_url="https://api.anakin.io") as client:
                assert_trail(shop.search(client), attempts=2, waited=3)

        @pytest.mark.resilience("observe")
        def test_observe(httpx_mock):
            httpx_mock.add_response(status_code=429, headers={"Retry-After": "3"})
            answer = shop.search()
            assert_trail(answer, attempts=1, waited=0, ended="observed")
            assert 1 == len(resilience.trail_of(answer).events) - 1
        """,
        ini="resilience = off",
    )
    done.assert_outcomes(passed=5)


TRIPPED = """
    import httpx, pytest, resilience
    from resilience.stores import opened_stores

    POLICY = {"version": 1, "provider": "acme", "match": {"hosts": ["api.acme.test"]},
              "limits": [{"name": "one", "rate": "1/hour", "per": "provider", "max_wait": "1s"}]}
    policy = resilience.Policy.model_validate(POLICY)
    client = resilience.wrap(
        httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200))), [policy])

    @pytest.mark.parametrize("number", range(4))
    def test_one(number):
        statuses = [client.get("https://api.acme.test/").status_code for _ in range(2)]
        assert [200, 429] == statuses
"""


def test_nothing_leaks_from_a_test_to_the_next(suite: pytest.Pytester) -> None:
    """Each finds a limit full, in one process and in those of pytest-xdist."""
    run(suite, TRIPPED, ini="resilience = on").assert_outcomes(passed=4)
    run(suite, TRIPPED, "-n", "2", ini="resilience = on").assert_outcomes(passed=4)


PAYING = """
    import httpx, pytest, resilience

    POLICY = {"version": 1, "provider": "acme", "match": {"hosts": ["api.acme.test"]}, "breaker": {"off": True},
              "retry": {"max_attempts": 2, "budget": {"ratio": 0.5, "per_second": 0, "window": "1h"},
                        "backoff": {"initial": "1ms", "max": "1ms"}}}
    policy = resilience.Policy.model_validate(POLICY)
    client = resilience.wrap(
        httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(int(request.url.path[1:])))), [policy])

    @pytest.mark.parametrize("number", range(4))
    def test_one(number):
        trail = resilience.trail_of(client.get("https://api.acme.test/500"))
        assert (1, "budget") == (len(trail.attempts), trail.why)
        client.get("https://api.acme.test/200")
"""


def test_what_calls_have_paid_for_retries_is_none_of_the_next_test(suite: pytest.Pytester) -> None:
    """A half of a retry is left by each, and two of them would make one."""
    run(suite, PAYING, ini="resilience = on").assert_outcomes(passed=4)


TELLING = """
    import httpx, pytest, resilience

    POLICY = {"version": 1, "provider": "acme", "match": {"hosts": ["api.acme.test"]}, "retry": {"max_attempts": 1}}
    policy = resilience.Policy.model_validate(POLICY)
    client = resilience.wrap(httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(503))), [policy])

    @pytest.mark.parametrize("number", range(2))
    def test_one(number, caplog):
        client.get("https://api.acme.test/")
        assert 1 == sum("given up" in line for line in caplog.messages)

    @pytest.mark.parametrize("number", range(2))
    def test_in_virtual_time(number, caplog, resilience_clock):
        for _ in range(3):
            client.get("https://api.acme.test/")
            resilience_clock.advance(60.0)
        assert 3 == sum("given up" in line for line in caplog.messages)
"""


def test_the_log_leaves_no_line_out_for_one_of_another_test(suite: pytest.Pytester) -> None:
    """Nor for one of another time."""
    run(suite, TELLING, ini="resilience = on").assert_outcomes(passed=4)


def test_a_suite_that_asks_for_nothing_is_left_alone(suite: pytest.Pytester) -> None:
    """Limits hold over its tests, as for `resilience run -- pytest` against a real provider; nothing is imported for it."""
    run(suite, TRIPPED).assert_outcomes(passed=1, failed=3)
    done = run(
        suite,
        """
        import sys

        def test_it():
            loaded = {name for name in sys.modules if name.startswith("resilience.")}
            assert "resilience._pytest" in loaded
            assert not {"resilience._chain", "resilience.testing", "resilience._policy"} & loaded
        """,
    )
    done.assert_outcomes(passed=1)


EARLY = "import sys, resilience, pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))"


@pytest.mark.parametrize(
    "command",
    [
        ["-c", EARLY],
        ["-m", "resilience", "run", "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
    ],
    ids=["imported", "launched"],
)
def test_the_package_may_be_imported_before_pytest(suite: pytest.Pytester, command: list[str]) -> None:
    """Which pytest warns of where a plugin's assertions were to be rewritten."""
    suite.makepyfile(test_it="def test_it(): assert True")
    suite.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")

    done = suite.run(sys.executable, *command)

    done.assert_outcomes(passed=1)
    assert "Warning" not in done.stdout.str() + done.stderr.str()


def test_a_default_that_is_none_is_refused(suite: pytest.Pytester) -> None:
    """Before a test runs: a misspelt `off` would send real requests."""
    done = run(suite, "def test_it(): assert False", ini="resilience = of")

    assert pytest.ExitCode.USAGE_ERROR == done.ret
    assert "resilience = of: it is one of on, off, observe" in done.stdout.str() + done.stderr.str()


MARKED = """
    import pytest

    @pytest.mark.resilience
    def test_of_others(): pass

    @pytest.mark.resilience("of")
    def test_misspelt(): raise SystemError

    @pytest.mark.resilience("off", "on")
    def test_twice(): raise SystemError

    @pytest.mark.resilience("off")
    class TestOff:
        @pytest.mark.resilience
        def test_off(self):
            from resilience._override import Override
            assert "off" == Override.mode
"""


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one", "xdist"])
def test_a_marker_that_is_no_mode_fails_its_test_alone(suite: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    """Before it runs; one without arguments is somebody else's and says nothing."""
    done = run(suite, MARKED, *arguments)

    done.assert_outcomes(passed=2, errors=2)
    shown = done.stdout.str()
    assert 'test_misspelt: the marker resilience takes one of "on", "off", "observe"' in shown
    assert "SystemError" not in shown


def test_an_assertion_on_a_trail_tells_all_that_differs_and_the_trail() -> None:
    """Numbers, layers and words, and the whole story below."""
    clock = VirtualClock()
    with fake_provider("anakin", script="429 retry-after 7, success") as provider:
        transport = resilience.httpx.Transport(policies=[provider.policy], clock=clock)
        with resilience.httpx.httpx.Client(transport=transport, base_url=provider.url) as client:
            answer = client.post("/v1/search", json={"prompt": "httpx"})

    trail = assert_trail(answer, attempts=2, waited=7, ended="success", operation="search", refused=False)
    assert isinstance(trail, Trail)
    assert trail is assert_trail(trail) is assert_trail()
    with pytest.raises(AssertionError) as caught:
        assert_trail(
            answer,
            attempts=1,
            statuses=[200],
            waited=1.0,
            refused="limiter",
            ended="max_attempts",
            operation=None,
            cost=5,
        )
    shown = str(caught.value)
    for line in (
        "the call went otherwise:",
        "  attempts: 2, expected 1",
        "  statuses: [429, 200], expected [200]",
        "  waited: 7.000s, expected 1.000s",
        "  refused: None, expected limiter",
        "  ended: success, expected max_attempts",
        "  operation: search, expected None",
        "  1. 0.000s: 429 rate_limited",
    ):
        assert line in shown
    assert "  cost: " in shown


def test_an_answer_without_a_trail_is_no_success() -> None:
    """It says why there may be none."""
    with pytest.raises(AssertionError, match="no policy applied to it; is the client wrapped, or resilience installed"):
        assert_trail(object(), attempts=1)


def test_statuses_are_one_for_each_attempt() -> None:
    """A single one would tell nothing of the others."""
    trail = Trail("a", None)

    for wrong in (200, "200"):
        with pytest.raises(TypeError, match=r"statuses are those of all attempts, in order, as \[429, 200\], not "):
            assert_trail(trail, statuses=wrong)  # type: ignore[arg-type]


def test_a_single_host_need_not_stand_in_a_list(suite: pytest.Pytester) -> None:
    """A text is a list of letters to Python, and no host is called so."""
    tests = """
        import httpx, resilience

        def test_another_host(resilience_provider):
            provider = resilience_provider("anakin", script="success", hosts="gateway.test")

            client = resilience.wrap(httpx.Client(), config={"version": 1, "providers": {"anakin": {"hosts": ["gateway.test"]}}})
            assert 200 == client.get("https://gateway.test/v1/search").status_code
            assert 1 == len(provider.requests)
    """

    run(suite, textwrap.dedent(tests)).assert_outcomes(passed=1)
