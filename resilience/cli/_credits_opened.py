"""`resilience credits unlatch` and `reset`: letting calls through again by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from resilience._clock import RealClock
from resilience._tags import key_part
from resilience._transactions import Command

from ._credits import look
from ._credits_shown import latch_data, latch_text
from ._options import ConfigFile, Json, Provider, StoreUrl
from ._output import fail, say, say_json, say_table, visible
from ._shared import ALONE, Shared, shared_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilience._credits_lines import Line
    from resilience._credits_report import CreditsReport

__all__ = ["reset", "unlatch"]

_Account = Annotated[str | None, typer.Option("--account", metavar="DIGEST", help="Of this account alone.")]


def unlatch(
    provider: Provider,
    *,
    account: _Account = None,
    operation: Annotated[
        str | None, typer.Option("--operation", metavar="NAME", help="What is shut of this operation alone.")
    ] = None,
    config: ConfigFile = None,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Let calls through again that an answer has shut out, as after a payment; all of a provider, or those named.

    What the provider has told of an account's balance is forgotten too, unless an operation is named.

    Exit code: 0 if something was opened, 1 if nothing was shut or the store could not be reached, 2 if there is no such
    provider or store.
    """
    shared = _shared(config, store)
    found = look(shared, provider, ("latch:", "credits:balance@"))
    chosen = [
        latch
        for latch in found.latches
        if account in {None, latch.account} and (operation is None or operation == latch.operation)
    ]
    told = [
        line
        for line in (found.balances if operation is None else ())
        if line.limit is not None and account in {None, line.scopes.get("account")}
    ]
    lifts = [Command("latch.lift", (latch.key,)) for latch in chosen]
    gone = _changed(shared, [*lifts, *(Command("credits.reset", (line.key,), (1,)) for line in told)])
    lifted = [latch for latch in chosen if latch.key in gone]
    balances = [line for line in told if line.key in gone]
    if json:
        forgotten = [{"account": line.scopes.get("account"), "balance": str(line.limit)} for line in balances]
        say_json({"store": shared.shown, "opened": [latch_data(latch) for latch in lifted], "forgotten": forgotten})
    for latch in () if json else lifted:
        say_table(latch_text(latch, is_open=True))
    for line in () if json else balances:
        say(f"the balance of {line.limit:f} {visible(line.unit)} that {visible(provider)} has told is forgotten")
    if not gone:
        others = "; ".join(latch_text(latch).plain for latch in found.latches)
        if others:
            fail(f"nothing is shut that you name; {others}", code=1)
        fail(f"nothing of {provider} is shut in {shared.shown}{_as_far_as(found)}", code=1)


def reset(
    provider: Provider,
    budget: Annotated[str, typer.Argument(metavar="BUDGET", help="The budget, by its name.")],
    *,
    account: _Account = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="Of this tag alone; may be given again.")
    ] = None,
    config: ConfigFile = None,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Have a budget begin anew: what was spent of its present period, or of all time, is forgotten. The ledger stays.

    What calls that are under way have reserved stays too, and what they cost counts in the new beginning.

    Exit code: 0 if something was forgotten, 1 if nothing was counted or the store could not be reached, 2 if there is no
    such provider or store.
    """
    shared = _shared(config, store)
    wanted = [each.partition("=") for each in tag or ()]
    if any(not equals for _, equals, _ in wanted):
        fail("a tag is written as NAME=VALUE, as job=nightly")
    found = look(shared, provider, (f"credits:{budget}@",))
    chosen = [line for line in found.lines if line.budget == budget and _fits(line, account, wanted)]
    gone = _changed(shared, [Command("credits.reset", (line.key,), (0,)) for line in chosen])
    if json:
        shown = [
            {"budget": line.budget, "unit": line.unit, "scopes": dict(line.scopes), "spent": str(line.spent)}
            for line in chosen
            if line.key in gone
        ]
        say_json({"store": shared.shown, "reset": shown})
    for line in () if json else (line for line in chosen if line.key in gone):
        scopes = ", ".join(f"{name}={value}" for name, value in line.scopes.items())
        of = f" of {visible(scopes)}" if scopes else ""
        say(f"{visible(budget)}{of} begins anew; {line.spent:f} {visible(line.unit)} were spent")
    if not gone:
        told = f"nothing of a budget {budget!r} of {provider} that you name is counted in {shared.shown}"
        fail(f"{told}{_as_far_as(found)}", code=1)


def _fits(line: Line, account: str | None, tags: Iterable[tuple[str, str, str]]) -> bool:
    # As it was given, or as it is shown.
    kept = line.key.split(":")
    return account in {None, line.scopes.get("account")} and all(
        f"tag.{name}={key_part(value)}" in kept or line.scopes.get(f"tag.{name}") == value for name, _, value in tags
    )


def _as_far_as(found: CreditsReport) -> str:
    return ", as far as it was looked through: it holds more states than that" if found.more else ""


def _shared(config: ConfigFile, store: StoreUrl) -> Shared:
    shared = shared_store(config, store)
    if shared.is_alone:
        fail(ALONE)
    return shared


def _changed(shared: Shared, commands: Iterable[Command]) -> set[str]:
    """Run commands of one key each; whose states they changed."""
    with shared.changing() as opened:
        # One at a time: another process may have done it meanwhile.
        return {command.keys[0] for command in commands if opened.run(command, RealClock.now()) == [1.0]}
