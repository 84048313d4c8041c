"""The doors: one client in place, every client of a process, a transport by hand."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import resilience
import resilience.httpx
import resilience.httpx2
from resilience import _pool_gate
from resilience.errors import ConfigurationError, PolicyError
from tests.rawserver import RawServer, answer, raw_server
from tests.test_transparency import LIBRARIES, watching

POLICY = """\
version: 1
provider: local
match: {{hosts: ["{host}"]}}
retry: {{max_attempts: 3, backoff: {{initial: 1ms, max: 1ms}}}}
"""


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A provider that is busy once."""
    with raw_server(answer(503), answer(200)) as server:
        yield server


@pytest.fixture
def config(tmp_path: Path, server: RawServer) -> Iterator[Path]:
    """A configuration for that provider; whatever a test installs is undone after it."""
    (tmp_path / "local.yaml").write_text(POLICY.format(host=server.url.removeprefix("http://")))
    path = tmp_path / "resilience.yaml"
    path.write_text("version: 1\npolicies: [./local.yaml]\n")
    yield path
    resilience.uninstall()


@pytest.mark.parametrize("library", LIBRARIES)
def test_install_reaches_clients_to_come_and_clients_that_exist(library: str, server: RawServer, config: Path) -> None:
    """Also the module's own functions; and `uninstall` leaves all of them as they were."""
    module = LIBRARIES[library]

    with module.Client() as existing:
        resilience.install(config)
        first = existing.get(server.url)
        with module.Client() as coming:
            second = coming.get(server.url)
        third = module.get(server.url)
        resilience.uninstall()
        last = existing.get(server.url)

    assert 200 == first.status_code
    assert 2 == len(first.extensions["resilience"].attempts)
    assert all(response.extensions["resilience"].provider == "local" for response in (second, third))
    assert "resilience" not in last.extensions


@pytest.mark.parametrize("library", LIBRARIES)
def test_install_reaches_async_clients(library: str, server: RawServer, config: Path) -> None:
    """The same for asynchronous clients."""
    module = LIBRARIES[library]
    resilience.install(config)

    async def go() -> Any:
        async with module.AsyncClient() as client:
            return await client.get(server.url)

    response = asyncio.run(go())

    assert 2 == len(response.extensions["resilience"].attempts)


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_class_of_clients_may_hand_on_its_request_by_name(
    library: str, kind: str, server: RawServer, config: Path
) -> None:
    """As the library's own method takes it."""
    module = LIBRARIES[library]
    base: Any = getattr(module, kind)

    class Naming(base):
        def _send_single_request(self, request: Any) -> Any:
            return super()._send_single_request(request=request)

    async def go() -> Any:
        if kind == "Client":
            with Naming() as client:
                return client.get(server.url)
        async with Naming() as client:
            return await client.get(server.url)

    resilience.install(config)
    response = asyncio.run(go())

    assert 2 == len(response.extensions["resilience"].attempts)


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_install_reaches_clients_where_a_tracer_has_a_class_of_its_own(
    library: str, order: str, server: RawServer, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As AWS X-Ray and older instrumentation of OpenTelemetry put in the place of the library's; those that it made before, too."""
    module = LIBRARIES[library]
    own = dict(module.Client.__dict__)

    class Traced(module.Client):  # type: ignore[misc, name-defined]
        pass

    class AsyncTraced(module.AsyncClient):  # type: ignore[misc, name-defined]
        pass

    with module.Client() as existing:
        if order == "after":
            resilience.install(config)
        monkeypatch.setattr(module, "Client", Traced)
        monkeypatch.setattr(module, "AsyncClient", AsyncTraced)
        resilience.install(config)
        with module.Client() as traced:
            answers = [existing.get(server.url), traced.get(server.url)]

    assert [2, 1] == [len(each.extensions["resilience"].attempts) for each in answers]
    resilience.uninstall()
    assert "_send_single_request" not in Traced.__dict__
    assert own == dict(Traced.__mro__[1].__dict__)


@pytest.mark.parametrize("library", LIBRARIES)
def test_install_says_where_it_cannot_reach_clients(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a version that sends by another method, or where something that is no class has the place of one."""
    module = LIBRARIES[library]

    for place in (object, lambda: None):
        with monkeypatch.context() as patch:
            patch.setattr(module, "AsyncClient", place)
            with pytest.raises(ConfigurationError, match="has no AsyncClient._send_single_request"):
                resilience.install({"version": 1})
        resilience.uninstall()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_method_that_somebody_put_there_before_us_sees_a_client(
    library: str, server: RawServer, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may ask of which class that is."""
    module = LIBRARIES[library]
    seen: list[bool] = []
    own = module.Client._send_single_request

    def method(self: Any, request: Any) -> Any:
        seen.append(isinstance(self, module.Client) and not isinstance(self, module.AsyncClient))
        return own(self, request)

    monkeypatch.setattr(module.Client, "_send_single_request", method)
    resilience.install(config)
    with module.Client() as client:
        response = client.get(server.url)
    resilience.uninstall()

    assert 2 == len(response.extensions["resilience"].attempts)
    assert [True] == seen


@pytest.mark.parametrize("library", LIBRARIES)
def test_twice_installed_is_once(library: str, config: Path) -> None:
    """However often and by whichever doors, there is one retry loop; the library's own classes come back whole."""
    module = LIBRARIES[library]
    own = dict(module.Client.__dict__)

    with raw_server(answer(503)) as server:
        host = server.url.removeprefix("http://")
        (config.parent / "local.yaml").write_text(POLICY.format(host=host))
        resilience.install(config)
        resilience.install(config)
        client = resilience.wrap(resilience.wrap(module.Client(), config=config), config=config)
        client.get(server.url)
        client.close()

    resilience.uninstall()
    resilience.uninstall()
    assert 3 == len(server.requests)
    assert own == dict(module.Client.__dict__)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_host_without_a_policy_is_untouched(library: str, server: RawServer, tmp_path: Path) -> None:
    """The provider's answer comes as it is, with nothing of ours on it."""
    module = LIBRARIES[library]
    resilience.install({"version": 1})
    try:
        with module.Client() as client:
            response = client.get(server.url)
    finally:
        resilience.uninstall()

    assert (503, 1) == (response.status_code, len(server.requests))
    assert "resilience" not in response.extensions
    assert "x-should-retry" not in response.headers


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("door", ["wrap", "install"])
def test_proxies_and_mounts_are_kept(
    library: str, door: str, config: Path, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY still leads to the proxy, and its answers obey the policy too; NO_PROXY still leads past it."""
    module = LIBRARIES[library]
    (config.parent / "local.yaml").write_text(POLICY.format(host="far.test"))

    with raw_server(answer(503), answer(200, b'"by proxy"')) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        client = module.Client()
        if door == "wrap":
            resilience.wrap(client, config=config)
        else:
            resilience.install(config)
        with client:
            far = client.get("http://far.test/x")
            near = client.get(server.url)

    assert ("by proxy", 2) == (far.json(), len(proxy.requests))
    assert 503 == near.status_code


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_transport_by_hand_serves_both_kinds_of_client(library: str, server: RawServer, config: Path) -> None:
    """`Transport()` makes the library's own transport, sync or async, when it is first needed."""
    module = LIBRARIES[library]
    adapter = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}[library]

    with module.Client(transport=adapter.Transport(config=config)) as client:
        first = client.get(server.url)

    async def go() -> Any:
        async with module.AsyncClient(transport=adapter.Transport(config=config)) as client:
            return await client.get(server.url)

    second = asyncio.run(go())
    assert [2, 1] == [len(response.extensions["resilience"].attempts) for response in (first, second)]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_call_can_be_left_alone(library: str, server: RawServer, config: Path) -> None:
    """`off` sends this call as if the library were not there."""
    module = LIBRARIES[library]

    with resilience.wrap(module.Client(), config=config) as client:
        response = client.get(server.url, extensions={"resilience": {"off": True}})

    assert 503 == response.status_code
    assert "resilience" not in response.extensions


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_closed_client_is_closed(library: str) -> None:
    """Closing a wrapped client closes the transport inside, once entered, and its use is an error as before."""
    module = LIBRARIES[library]
    events: list[str] = []

    class Recorder(module.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            return module.Response(200)

        def __enter__(self) -> Any:
            events.append("enter")
            return self

        def __exit__(self, *error: object) -> None:
            events.append("exit")

        def close(self) -> None:
            events.append("close")

    with resilience.wrap(module.Client(transport=Recorder()), policies=[watching()]):
        pass
    resilience.wrap(module.Client(transport=Recorder()), policies=[watching()]).close()

    assert ["enter", "exit", "close"] == events


@pytest.mark.parametrize("door", ["wrap", "install", "transport"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_transport_need_not_be_of_the_librarys_classes(
    library: str, door: str, server: RawServer, config: Path
) -> None:
    """The libraries ask for its methods alone, and so do we: else `install` would break an application that works."""
    module = LIBRARIES[library]

    class Own:
        def __init__(self) -> None:
            self._inner = module.HTTPTransport()

        def handle_request(self, request: Any) -> Any:
            return self._inner.handle_request(request)

        def close(self) -> None:
            self._inner.close()

    own: Any = Own()
    if door == "transport":
        own = getattr(resilience, library).Transport(own, config=config)
    client = module.Client(transport=own)
    if door == "wrap":
        resilience.wrap(client, config=config)
    elif door == "install":
        resilience.install(config)

    response = client.get(server.url)
    client.close()

    assert (200, 2) == (response.status_code, len(response.extensions["resilience"].attempts))


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("library", LIBRARIES)
def test_install_leaves_a_client_alone_that_obeys_further_inside(
    library: str, depth: int, server: RawServer, config: Path
) -> None:
    """A cache that hands on to a transport of ours: two loops would multiply, and limits and budgets be charged twice."""
    module, adapter = LIBRARIES[library], getattr(resilience, library)

    class Cache(module.BaseTransport):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def handle_request(self, request: Any) -> Any:
            return self._inner.handle_request(request)

        def close(self) -> None:
            self._inner.close()

    own = adapter.Transport(config=config)
    for _ in range(depth):
        own = Cache(own)
    told: list[object] = []

    class Mine(resilience.events.Listener):
        def on_call(self, event: object, /) -> None:
            told.append(event)

    end = resilience.listen(Mine())
    resilience.install(config)
    with module.Client(transport=own) as client:
        first = client.get(server.url)
    with module.Client(transport=Cache(module.HTTPTransport())) as client:
        second = client.get(server.url)
    end()

    assert [2, 1] == [len(each.extensions["resilience"].attempts) for each in (first, second)]
    assert 2 == len(told)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_transport_may_be_equal_to_others_and_have_no_hash(library: str) -> None:
    """A dataclass of the application's own: each has a gate of its own, which is gone with it."""
    module = LIBRARIES[library]

    @dataclass
    class Own(module.AsyncHTTPTransport):  # type: ignore[misc, name-defined]
        retries: int = 0

        def __post_init__(self) -> None:
            super().__init__()

        async def handle_async_request(self, _request: Any) -> Any:
            return module.Response(200)

    async def go(client: Any) -> Any:
        return await resilience.wrap(client, policies=[policy], config={"version": 1, "gate": 3}).get(
            "http://127.0.0.1/"
        )

    policy = watching()
    clients = [module.AsyncClient(transport=Own()) for _ in range(2)]
    statuses = [asyncio.run(go(client)).status_code for client in clients]
    gates = [client._transport.chain._runtime.gate for client in clients]

    kept = [_pool_gate._gates[id(client._transport.inner)] for client in clients]

    assert [200, 200] == statuses
    assert gates == [gate for _, gate in kept]
    assert gates[0] is not gates[1]
    del clients
    gc.collect()
    assert not [each for each in _pool_gate._gates.values() if each in kept]


def test_wrap_says_what_it_takes() -> None:
    """Anything but a client is a TypeError that names it."""
    with pytest.raises(TypeError, match=r"builtins\.dict is no client of httpx or httpx2"):
        resilience.wrap({})


def test_a_mistake_in_the_configuration_changes_nothing(tmp_path: Path) -> None:
    """`install` refuses it with its place, and no client is touched."""
    (tmp_path / "resilience.yaml").write_text("version: 1\npolices: []\n")

    with pytest.raises(PolicyError, match=r"resilience\.yaml:2:1: unknown key 'polices'.*did you mean 'policies'"):
        resilience.install(tmp_path / "resilience.yaml")

    for module in LIBRARIES.values():
        assert "resilience" not in module.Client._send_single_request.__code__.co_filename


def test_two_policies_for_one_host_are_refused() -> None:
    """Neither could be trusted to apply."""
    one, two = watching(provider="one"), watching(provider="two")

    with pytest.raises(ConfigurationError, match=r"'one' and 'two' both speak of 127\.0\.0\.1"):
        resilience.wrap(LIBRARIES["httpx"].Client(), policies=[one, two])


def run_program(program: str, *arguments: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


@pytest.mark.parametrize("library", LIBRARIES)
def test_install_before_the_library_is_imported(library: str, server: RawServer, config: Path) -> None:
    """`install` imports neither library, and prepares each when the program imports it."""
    program = f"""
        import sys, resilience
        resilience.install(sys.argv[1])
        assert "httpx" not in sys.modules and "httpx2" not in sys.modules
        import {library}
        print(len({library}.get(sys.argv[2]).extensions["resilience"].attempts))
    """

    assert "2" == run_program(program, str(config), server.url)


@pytest.mark.parametrize("library", LIBRARIES)
def test_other_modules_of_an_archive_are_left_alone(
    library: str, server: RawServer, config: Path, tmp_path: Path
) -> None:
    """All modules of an archive have one loader: an SDK beside the library was taken for it, and could not be imported."""
    root = Path(LIBRARIES[library].__file__).parent
    with ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in root.rglob("*.py"):
            archive.write(path, path.relative_to(root.parent))
        archive.writestr("sdk.py", "class Client: ...\n\nclass AsyncClient: ...\n")
    program = f"""
        import importlib.util, sys, zipimport
        sys.path.insert(0, sys.argv[3])
        import resilience
        resilience.install(sys.argv[1])
        for _ in range(3):
            assert importlib.util.find_spec("{library}").loader.is_package("{library}")
        import {library}, sdk
        assert sdk.__loader__ is {library}.__loader__ is {library}.__spec__.loader
        assert type(sdk.__loader__) is zipimport.zipimporter
        print(len({library}.get(sys.argv[2]).extensions["resilience"].attempts))
    """

    assert "2" == run_program(program, str(config), server.url, str(tmp_path / "all.zip"))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_loader_may_be_of_any_class(library: str, server: RawServer, config: Path) -> None:
    """Those of compiled programs, and of who loads by a plain function, take no attributes: the import failed."""
    program = f"""
        import importlib.machinery, sys
        class Loader:
            __slots__ = ("_loader",)
            def __init__(self, loader):
                self._loader = loader
            def create_module(self, spec):
                return None
            def exec_module(self, module):
                self._loader.exec_module(module)
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                spec = importlib.machinery.PathFinder.find_spec(name, path, target)
                if name == "{library}":
                    spec.loader = Loader(spec.loader)
                return spec
        import resilience
        sys.meta_path.insert(0, Finder)
        resilience.install(sys.argv[1])
        import {library}
        assert type({library}.__loader__) is Loader
        print(len({library}.get(sys.argv[2]).extensions["resilience"].attempts))
    """

    assert "2" == run_program(program, str(config), server.url)


@pytest.mark.parametrize("order", ["install, alias", "alias, install"])
def test_a_process_that_calls_httpx2_by_the_name_of_httpx(order: str, server: RawServer, config: Path) -> None:
    """`httpx2.alias_httpx()` before or after us: one class, one loop."""
    steps = {"install": "resilience.install(sys.argv[1])", "alias": "import httpx2; httpx2.alias_httpx()"}
    program = "import sys, resilience\n" + "\n".join(steps[step] for step in order.split(", "))
    program += (
        "\nimport httpx\nassert httpx is httpx2\n"
        "print(len(httpx.get(sys.argv[2]).extensions['resilience'].attempts))\n"
        "resilience.uninstall()\nassert 'resilience' not in httpx.get(sys.argv[2]).extensions"
    )

    assert "2" == run_program(program, str(config), server.url)
