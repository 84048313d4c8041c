"""`resilience status`: what the shared store holds now of breakers, latches, limits, calls in flight, retry budgets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resilience._clock import Closing, RealClock
from resilience._finding import near
from resilience._status import MOST_STATES, Fact, Report, Row, report
from resilience._units import duration_text

from ._options import ConfigFile, StoreUrl
from ._output import complain, fail, fitting, say, say_json, say_table, table, visible
from ._shared import ALONE, Shared, shared_store

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

__all__ = ["EXAMPLE", "show_states", "status"]

EXAMPLE = """\
resilience status --watch
resilience status --store redis://localhost:6379 --provider anakin --json
"""
_COLOURS = {
    **dict.fromkeys(("open", "isolated", "shut", "unreadable"), "red"),
    **dict.fromkeys(("half_open", "paused", "waiting", "full", "lowered", "empty"), "yellow"),
    **dict.fromkeys(("ok", "closed"), "green"),
}
_LONGEST_KEY = 500
# Numbers of these names, and of names that end so, are seconds.
_TIMES = {"paused", "next", "retry_after", "for"}
_TIMES_END = ("_for", "_in")


@dataclass(frozen=True, slots=True)
class _Look:
    """One look into a store: what it holds, or why it cannot be read."""

    report: Report
    fault: str = ""


def status(
    *,
    config: ConfigFile = None,
    store: StoreUrl = None,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="This provider alone.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl+C.")] = False,
    every: Annotated[float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="How often --watch looks.")] = 2,
    json: Annotated[bool, typer.Option("--json", help="Say it in JSON; with --watch one object per line.")] = False,
) -> None:
    """Show how breakers, latches, limits, calls in flight and retry budgets are, from the store that processes share.

    Exit code: 0 if the store could be read, 1 if not, 2 if the configuration cannot be honoured or there is no such
    provider, 130 after Ctrl+C.
    """
    show_states(shared_store(config, store), provider, every=every if watch else None, json=json)


def show_states(
    shared: Shared,
    provider: str | None,
    *,
    every: float | None = None,
    json: bool = False,
    chosen: Callable[[Row], bool] = lambda _: True,
) -> None:
    """Show what the store holds, once or again and again; a store that cannot be read ends the command, or is shown.

    Arguments:
        shared: the store.
        provider: of this one alone.
        every: how often to look, in seconds; `None` for once.
        json: whether in JSON.
        chosen: which of its states are shown.
    """
    looks = _looks(shared, provider, every, chosen)
    if every is not None and not json and sys.stdout.isatty():
        _show_live(shared, looks)
    for look in looks:
        if look.fault and every is None:
            fail(look.fault, code=1)
        if json:
            say_json(_data(shared, look), lines=every is not None)
        else:
            _show(shared, look)
            sys.stdout.flush()


def _looks(shared: Shared, provider: str | None, every: float | None, chosen: Callable[[Row], bool]) -> Iterator[_Look]:
    """One look, or one after the other for as long as somebody wants them; a provider that nobody knows ends the command."""
    first = _look(shared, provider, chosen)
    known = {source.name for source in shared.policies.sources}
    # A store may hold states of providers of other configurations.
    if provider is not None and provider not in known and not first.report.rows and not first.fault:
        fail(
            f"there is no active policy {provider!r}, and {shared.shown} has no state of one; {near(provider, sorted(known))}"
        )
    yield first
    while every is not None:
        RealClock().sleep(every, Closing())
        yield _look(shared, provider, chosen)


def _look(shared: Shared, provider: str | None, chosen: Callable[[Row], bool]) -> _Look:
    if shared.is_alone:
        return _Look(Report(()))
    store = shared.open()
    try:
        states = store.scan("" if provider is None else f"{{{provider}}}:")
        found = report(states, store.now(RealClock.now()))
        return _Look(replace(found, rows=tuple(row for row in found.rows if chosen(row))))
    except Exception as error:  # noqa: BLE001  every store has errors of its own, and each means that it cannot be read
        return _Look(Report(()), shared.fault(error))


def _show(shared: Shared, look: _Look) -> None:
    """One look as text."""
    if look.fault:
        complain(look.fault)
        return
    if look.report.rows:
        say_table(_States(look.report.rows))
    for line in _remarks(shared, look):
        say(line)


def _show_live(shared: Shared, looks: Iterator[_Look]) -> None:
    """Looks at the same place of a terminal, until Ctrl+C."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    with Live(console=console, auto_refresh=False) as live:
        for look in looks:
            parts: list[RenderableType] = [
                Text(line) for line in ([look.fault] if look.fault else _remarks(shared, look))
            ]
            live.update(Group(*([_States(look.report.rows)] if look.report.rows else []), *parts), refresh=True)


def _remarks(shared: Shared, look: _Look) -> Iterator[str]:
    """What the table does not say."""
    if shared.is_alone:
        yield ALONE
        return
    found = look.report
    count = f"{len(found.rows)} state{'s'[: len(found.rows) != 1]}"
    keys = "1 key is" if found.strange == 1 else f"{found.strange} keys are"
    strange = f"; {keys} none of ours" if found.strange else ""
    more = f"; it has more than {MOST_STATES}: name a --provider" if found.more else ""
    yield f"{count} in {shared.shown}{strange}{more}"


@dataclass(frozen=True, slots=True)
class _States:
    """The rows as a table; where that is wider than the terminal, what a state is of stands in two lines."""

    rows: tuple[Row, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield fitting(console, options, partial(_table, self.rows))


def _table(rows: tuple[Row, ...], *, is_narrow: bool = False) -> Table:
    from rich.text import Text

    listed = table("provider", "kind", *(["name\nfor"] if is_narrow else ["name", "for"]), "state", "")
    before = None
    for row in rows:
        parts = row.parts
        name, scope = visible(parts.name), visible(parts.scope) or "all"
        listed.add_row(
            visible(parts.provider) if parts.provider != before else "",
            parts.kind,
            *([f"{name}\n{scope}"] if is_narrow else [name, scope]),
            Text(visible(row.state), style=_COLOURS.get(row.state, "")),
            visible(_details(row)),
        )
        before = parts.provider
    return listed


def _details(row: Row) -> str:
    """What is known of a state, in words."""
    facts = dict(row.facts)
    facts.pop("state", None)
    if facts.get("documented") == facts.get("most"):
        facts.pop("documented", None)
    # The algorithm is for who reads JSON. A bucket without a rate has no numbers; of a paused one they say nothing now.
    if facts.pop("algorithm", None) == "unrated" or facts.get("paused"):
        for name in ("left", "burst", "amount", "seconds"):
            facts.pop(name, None)
    # In the provider's own words, letter for letter.
    said: list[str] = [why] if isinstance(why := facts.pop("why", None), str) else []
    # What belongs together stands together; anything else follows with its name.
    for part, whole, words in (("left", "burst", "left"), ("in_flight", "most", "in flight")):
        if (value := facts.pop(part, None)) is not None:
            most = facts.pop(whole, None)
            said.append(f"{_number(value)}{'' if most is None else f' of {_number(most)}'} {words}")
    seconds = _time(facts.pop("seconds", None))
    if (amount := facts.pop("amount", None)) is not None:
        said.append(f"{_number(amount)} in {seconds}")
    elif seconds:
        said.append(f"for {seconds}")
    for name, value in facts.items():
        if value is not None and value != 0:
            words = name.replace("_", " ")
            said.append(f"{words} {_time(value) if name in _TIMES or name.endswith(_TIMES_END) else _number(value)}")
    return ", ".join(said)


def _number(value: Fact) -> str:
    return f"{value:,.1f}".removesuffix(".0") if isinstance(value, float) else str(value).replace("_", " ")


def _time(value: Fact) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{_number(value)} s" if abs(value) < 60 else duration_text(round(value))


def _data(shared: Shared, look: _Look) -> dict[str, Any]:
    found = look.report
    states = [
        {**row.facts, **row.parts._asdict(), "key": row.key[:_LONGEST_KEY], "state": row.state} for row in found.rows
    ]
    data: dict[str, Any] = {"store": shared.shown, "namespace": shared.policies.namespace, "states": states}
    data |= {"strange": found.strange, "more": found.more}
    notes = {"note": ALONE if shared.is_alone else "", "fault": look.fault}
    return data | {name: text for name, text in notes.items() if text}
