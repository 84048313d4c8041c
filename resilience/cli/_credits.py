"""`resilience credits`: what is spent, reserved and left of each budget, what is shut, and how to open it again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from resilience._clock import RealClock
from resilience._credits_ledger import Ledger
from resilience._credits_report import CreditsReport, credits_report
from resilience._finding import near
from resilience._status import MOST_STATES
from resilience._transactions import Command

from ._credits_shown import Balances, Budgets, data_of, latch_text
from ._options import ConfigFile, Json, OneProvider, StoreUrl
from ._output import complain, fail, is_unicode, say, say_json, say_table, visible
from ._shared import ALONE, Shared, shared_store

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from resilience._transactions import Store

__all__ = ["EXAMPLES", "look", "show"]

EXAMPLES = {
    "show": "resilience credits anakin",
    "ledger": "resilience credits ledger anakin --since 24h --csv spent.csv",
    "unlatch": "resilience credits unlatch anakin",
    "reset": "resilience credits reset anakin nightly --tag job=2026-11-21",
}
_KINDS = ("credits:", "latch:", "ledger:")
# A command that names more would hold others up for long.
_AT_ONCE = 100


def show(
    provider: OneProvider = None,
    *,
    config: ConfigFile = None,
    store: StoreUrl = None,
    json: Json = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show older periods too, as long as they are kept.")
    ] = False,
) -> None:
    """Show what is spent, reserved and left of each budget, and what providers have shut.

    This is what `resilience credits` does without a command. Calls that were lost are counted first.

    Exit code: 0 if the store could be read, 1 if not, 2 if the configuration cannot be honoured or there is no such
    provider.
    """
    shared = shared_store(config, store)
    found = look(shared, provider)
    older = sum(line.is_over for line in found.lines)
    if not everything:
        found = replace(found, lines=tuple(line for line in found.lines if not line.is_over))
    if json:
        note = {"note": ALONE} if shared.is_alone else {}
        say_json({"store": shared.shown, "namespace": shared.policies.namespace, **data_of(found), **note})
        return
    for warning in found.warnings:
        complain(visible(warning))
    if found.lines:
        say_table(Budgets(found.lines, has_sparks=is_unicode()))
    if found.balances:
        say_table(Balances(found.balances))
    for latch in found.latches:
        say_table(latch_text(latch))
    for line in _remarks(shared, provider, found, 0 if everything else older):
        say(line)


def _remarks(shared: Shared, provider: str | None, found: CreditsReport, older: int) -> list[str]:
    """What the tables do not say."""
    if shared.is_alone:
        return [ALONE]
    said = [
        f"`resilience credits unlatch {visible(latched)}` opens what is shut, as after a payment"
        for latched in dict.fromkeys(latch.provider for latch in found.latches)
    ]
    if older:
        said.append(f"{older} budget{'s'[: older != 1]} of older periods; --all shows them")
    if found.more:
        said.append(f"{shared.shown} has more than {MOST_STATES} states, and not all were looked at; name a PROVIDER")
    if found.lines or found.balances or found.latches:
        return said
    budgets = [
        f"{source.name} {budget.name} ({budget.limit})"
        for source in shared.policies.sources
        if provider in {None, source.name}
        for budget in source.settings.budgets
    ]
    if budgets:
        said.append(f"no call has been counted in {shared.shown} yet; budgets: {', '.join(budgets)}")
    else:
        said += [
            f"there is nothing of credits in {shared.shown}, and there are no budgets;",
            f"write some in resilience.yaml: providers: {{{provider or 'NAME'}: {{budgets: [{{name: daily, limit: 500/day}}]}}}}",
        ]
    return said


def look(shared: Shared, provider: str | None, kinds: Sequence[str] = _KINDS) -> CreditsReport:
    """What the store holds of credits, calls that were lost among it; a store that cannot be read ends the command.

    Arguments:
        shared: the store.
        provider: of this one alone.
        kinds: of a provider's states only those whose keys go on so; a store may hold more than are looked at.
    """
    found = CreditsReport((), (), (), Ledger())
    if not shared.is_alone:
        opened = shared.open()
        try:
            found = _read(shared, opened, provider, kinds)
            if found.lost:
                fault = _sweep(opened, found.lost)
                found = _read(shared, opened, provider, kinds)
                found = replace(found, warnings=(*found.warnings, *fault))
        except Exception as error:  # noqa: BLE001  every store has errors of its own, and each means that it cannot be read
            fail(shared.fault(error), code=1)
    known = sorted(source.name for source in shared.policies.sources)
    # A store may hold states of providers of other configurations.
    is_there = found.lines or found.balances or found.latches or found.ledger.rows
    if provider is not None and provider not in known and not is_there:
        meant = near(provider, [*known, "ledger", "unlatch"])
        fail(
            f"there is no active policy {provider!r}, and {shared.shown} has no state of one; "
            f"{meant if meant.endswith('?') else near(provider, known)}"
        )
    return found


def _read(shared: Shared, store: Store, provider: str | None, kinds: Sequence[str]) -> CreditsReport:
    prefixes = [""] if provider is None else [f"{{{provider}}}:{kind}" for kind in kinds]
    states = (each for prefix in prefixes for each in store.scan(prefix))
    operations: dict[tuple[str, str], Collection[str]] = {
        (source.name, budget.name): budget.operations
        for source in shared.policies.sources
        for budget in source.settings.budgets
        if budget.operations is not None
    }
    return credits_report(
        states, store.now(RealClock.now()), RealClock().wall(), provider=provider, operations=operations
    )


def _sweep(store: Store, lost: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Count what was lost, as the next call would; why it could not be counted."""
    faults: list[str] = []
    for provider, keys in lost.items():
        page = f"{{{provider}}}:ledger:0"
        try:
            for start in range(0, len(keys), _AT_ONCE):
                command = Command("credits.sweep", (page, *keys[start : start + _AT_ONCE]))
                store.run(command, RealClock.now())
        except Exception:  # noqa: BLE001  a damaged state may stop the script in any way; the rest can be shown
            faults.append(
                f"calls of {provider} that were lost could not be counted: somebody else has changed its states"
            )
    return faults
