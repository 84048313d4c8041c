"""`resilience breaker`: hold a provider's calls back by hand, let them through again, or see how its breakers are."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated

import typer

from resilience._breaker_machine import CLOSED, ISOLATED, NAMES
from resilience._clock import RealClock
from resilience._finding import near
from resilience._modes import Mode
from resilience._status import key_parts
from resilience._transactions import Command

from ._options import ConfigFile, Json, Provider, StoreUrl
from ._output import fail, say, say_json, visible
from ._shared import ALONE, Shared, shared_store
from ._status import show_states

if TYPE_CHECKING:
    from resilience._registry import Source

__all__ = ["EXAMPLES", "close", "isolate", "listed"]

EXAMPLES = {
    "isolate": "resilience breaker isolate anakin",
    "close": "resilience breaker close anakin --key api.anakin.io",
    "list": "resilience breaker list anakin --json",
}

_Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="One breaker, as `list` shows it, or all whose name begins so (a host); by default all of them.",
    ),
]


def isolate(
    provider: Provider, *, key: _Key = None, config: ConfigFile = None, store: StoreUrl = None, json: Json = False
) -> None:
    """Let no call of a provider through, in any process that shares the store, until it is closed by hand.

    Exit code: 0 if it was done, 1 if the store could not be reached, 2 if there is no such provider, breaker or store.
    """
    _force(ISOLATED, provider, key=key, shared=shared_store(config, store), json=json)


def close(
    provider: Provider, *, key: _Key = None, config: ConfigFile = None, store: StoreUrl = None, json: Json = False
) -> None:
    """Let the calls of a provider through again: its failures are forgotten.

    Exit code: 0 if it was done, 1 if the store could not be reached, 2 if there is no such provider, breaker or store.
    """
    _force(CLOSED, provider, key=key, shared=shared_store(config, store), json=json)


def listed(
    provider: Provider, *, key: _Key = None, config: ConfigFile = None, store: StoreUrl = None, json: Json = False
) -> None:
    """Show the breakers of a provider that have let calls through or held them back.

    Exit code: 0 if the store could be read, 1 if not, 2 if there is no such provider or store.
    """
    shared = shared_store(config, store)
    _source(shared, provider)
    show_states(
        shared, provider, json=json, chosen=lambda row: row.parts.kind == "breaker" and _is_called(key, row.key)
    )


def _force(state: int, provider: str, *, key: str | None, shared: Shared, json: bool) -> None:
    if shared.is_alone:
        fail(ALONE)
    source = _source(shared, provider)
    policy = source.policy()
    if policy.breaker.off or source.settings.modes.get("breaker") is Mode.OFF:
        fail(f"the breaker of {provider} is off, and nothing asks it: switch it on in the policy or in resilience.yaml")
    with shared.changing() as opened:
        kept = [found for found, _ in opened.scan(_prefix(provider)) if key_parts(found) is not None]
        known = kept if state == CLOSED and key is None else list(dict.fromkeys((*kept, *_possible(source))))
        # A key that no call has used yet can be written whole: of an account, only calls tell the digest.
        whole = key is not None and key.startswith(_prefix(provider))
        named = [key] if key and whole else sorted(found for found in known if _is_called(key, found))
        # Closing makes no breaker: one that is not there lets calls through already.
        chosen = named if state == ISOLATED or whole else [found for found in named if found in kept]
        changes: list[dict[str, str]] = []
        for found in chosen:
            old, new = opened.run(Command("breaker.force", (found,), (state, 0.0)), RealClock.now())
            changes.append({"key": found, "from": NAMES[int(old)], "to": NAMES[int(new)]})
    if key is not None and not named:
        fail(f"{provider} has no breaker {key!r}; {near(key, [_short(found) for found in known])}")
    if state == ISOLATED and not chosen:
        fail(
            f"{provider} has a breaker for each {' and '.join(policy.breaker.per)}, and none was asked yet; "
            f"name one with --key '{_prefix(provider)}{policy.breaker.plan.name}:...'"
        )
    if json:
        say_json({"store": shared.shown, "breakers": changes})
        return
    for each in changes:
        say(visible(f"{_short(each['key'])}: {each['from']} -> {each['to']}"))
    if not changes:
        which = "no breaker" if key is None else f"no breaker {key!r}"
        say(visible(f"{which} of {provider} is in {shared.shown}: all of its calls are let through"))


def _source(shared: Shared, provider: str) -> Source:
    sources = {source.name: source for source in shared.policies.sources}
    if provider not in sources:
        fail(f"there is no active policy {provider!r}; {near(provider, sources)}")
    return sources[provider]


def _prefix(provider: str) -> str:
    return f"{{{provider}}}:breaker:"


def _short(key: str) -> str:
    """What tells a provider's breakers apart."""
    parts = key_parts(key)
    return key if parts is None else parts.scope or parts.provider


def _is_called(wanted: str | None, key: str) -> bool:
    """Whether a breaker is meant: by its whole key, by what tells it apart, or by the first parts of that (a host)."""
    return wanted is None or wanted in {key, _short(key)} or _short(key).startswith(f"{wanted}:")


def _possible(source: Source) -> list[str]:
    """The keys of the breakers that calls may ask, as far as the policy alone tells: accounts only calls can tell."""
    policy = source.policy()
    if policy.breaker.health is not None and policy.breaker.health.apart:
        return []
    values = {
        "host": [host for host in source.hosts if "*" not in host],
        "operation": [*policy.operations, "-"],
        "account": list[str](),
    }
    scopes = [values[scope] for scope in policy.breaker.per if scope != "provider"]
    return [":".join((_prefix(source.name) + policy.breaker.plan.name, *each)) for each in product(*scopes)]
