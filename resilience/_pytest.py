"""The plugin for pytest: virtual time, scripted providers, fresh state, and a switch for unit tests.

Until a test asks for one of its fixtures, or the project sets `resilience` in its configuration, it does nothing. What it
needs of the library is imported then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import FakeProvider, VirtualClock

__all__: list[str] = []

_MODES = ("on", "off", "observe")
_NO_MODE = "?"
_MARKER = (
    'resilience(mode): "off" lets calls go to their own transports untouched, "observe" lets the layers only say what they '
    'would do, "on" is as the application configures it; state of limits, breakers and budgets is fresh'
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The project's default."""
    parser.addini("resilience", 'what resilience does in tests: "on", "off" or "observe"', default="")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and refuse a default that is none."""
    config.addinivalue_line("markers", _MARKER)
    mode = config.getini("resilience")
    if mode and mode not in _MODES:
        raise pytest.UsageError(f"resilience = {mode}: it is one of {', '.join(_MODES)}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose marker is none before it runs: a misspelt `off` would send real requests."""
    mode = _mode_of(item)
    if mode and mode not in _MODES:
        wanted = ", ".join(f'"{each}"' for each in _MODES)
        pytest.fail(f"{item.nodeid}: the marker resilience takes one of {wanted}", pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, None]:
    """One test, with its fixtures: as it wants the library to be, and with nothing of the tests before."""
    mode = _mode_of(item)
    if mode not in _MODES:
        yield
        return
    from ._override import Override

    before = Override.mode
    Override.mode = "off" if mode == "off" else "observe" if mode == "observe" else None
    _forget()
    try:
        yield
    finally:
        Override.mode = before
        _forget()


def _mode_of(item: pytest.Item) -> str:
    # Other projects have a marker of this name, too, which mostly has no arguments.
    marker = next((each for each in item.iter_markers("resilience") if each.args or each.kwargs), None)
    if marker is None:
        default: str = item.config.getini("resilience")
        return default
    mode = marker.args[0] if len(marker.args) == 1 and not marker.kwargs else None
    return mode if isinstance(mode, str) and mode in _MODES else _NO_MODE


def _forget() -> None:
    """What limits, permits, breakers, latches, budgets, the retry budget and the log remember in this process."""
    stores = sys.modules.get(f"{__package__}.stores")
    if stores is not None:
        stores.forget_memory()
    for name in ("_retry_allowance", "_hub"):
        if (module := sys.modules.get(f"{__package__}.{name}")) is not None:
            module.forget()
    trails = sys.modules.get(f"{__package__}._trail_of")
    if trails is not None:
        trails.LAST.trail = None


@pytest.fixture
def resilience_clock() -> Generator[VirtualClock, None, None]:
    """A virtual clock for all calls of this process, those of clients that exist already too: waits take no time.

    `resilience_clock.slept` has the waits, `.advance(seconds)` lets time pass. A server's own time, and the timeouts of
    sockets, stay real.
    """
    from ._clock import RealClock
    from .testing import VirtualClock

    clock = VirtualClock()
    names = ("now", "wall", "random", "key", "sleep", "sleep_async")
    before = {name: vars(RealClock)[name] for name in names}
    # Times of the two clocks mean nothing to each other.
    _forget()
    for name in names:
        setattr(RealClock, name, staticmethod(getattr(clock, name)))
    try:
        yield clock
    finally:
        for name, own in before.items():
            setattr(RealClock, name, own)
        _forget()


@pytest.fixture
def resilience_provider() -> Generator[Callable[..., FakeProvider], None, None]:
    """Makes scripted providers that take the calls to a provider's real hosts until the test ends.

    `resilience_provider("anakin", script="429 retry-after 7, success")` takes what `resilience.testing.fake_provider` takes,
    and `hosts=[...]` for others that the application calls instead of the policy's own.
    """
    from ._load import load_policy
    from ._policy import Policy
    from ._redirected import hosts_of, redirected
    from ._registry import Policies, Source
    from .testing import fake_provider

    _forget()
    with ExitStack() as stack:

        def make(policy: Any, *, hosts: str | tuple[str, ...] | list[str] = (), **options: Any) -> FakeProvider:
            found = policy if isinstance(policy, Policy) else load_policy(policy)
            fake = stack.enter_context(fake_provider(found, **options))
            others = [hosts] if isinstance(hosts, str) else hosts
            names = {*found.match.hosts, *others, *_configured(found.provider)}
            sources = Policies([Source(found.provider, sorted(names), lambda: found)])
            stack.enter_context(redirected(hosts_of(sources, fake.url)))
            return fake

        yield make
    _forget()


def _configured(provider: str) -> tuple[str, ...]:
    """The hosts that `install` was told of in the place of a provider's own."""
    installed: Any = sys.modules.get(f"{__package__}._install")
    policies = None if installed is None else installed.ResilienceFinder.policies
    return (
        ()
        if policies is None
        else tuple(h for source in policies.sources if source.name == provider for h in source.hosts)
    )
