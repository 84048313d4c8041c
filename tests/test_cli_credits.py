"""`resilience credits`: what it shows of a shared store, what it writes for spreadsheets, and what it opens again."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from resilience._clock import RealClock
from resilience._credits_ledger import Settlement
from resilience._credits_lines import Latch, Line, Span
from resilience._tags import key_part
from resilience._transactions import SCRIPTS, Command
from resilience.cli import main
from resilience.cli._credits_shown import Balances, Budgets, latch_text, spark
from resilience.cli._ledger import Settlements, csv_text
from resilience.cli._shared import ALONE
from resilience.stores import open_store

# A moment of a Monday.
WALL = 1_800_000_000.0
MIDNIGHT = 1_799_971_200
TODAY = f"{MIDNIGHT}-{MIDNIGHT + 86_400}"
YESTERDAY = f"{MIDNIGHT - 86_400}-{MIDNIGHT}"
DAILY = f"{{some}}:credits:daily@credits:{TODAY}"
POLICY = """\
version: 1
provider: some
match: {hosts: [some.test]}
account: {headers: [X-Api-Key]}
operations: {search: {path: /search}}
credits: {unit: credits, costs: [{cost: 1}]}
"""
CONFIG = "version: 1\nshipped: [anakin]\npolicies: [some.yaml]\nstore: sqlite:///state.db\nnamespace: shop\n"
DIGEST = "3fa9c1d2e4b5a697"

Cli = Callable[..., tuple[object, str, str]]


class Spender:
    """What other processes have written into the store of the configuration."""

    def __init__(self) -> None:
        self.store = open_store("sqlite:///state.db", namespace="shop")
        self.calls = 0

    def run(self, name: str, keys: list[str], *arguments: Any) -> list[float]:
        return self.store.run(Command(name, tuple(keys), arguments), 0.0)

    def reserve(self, *keys: str, amount: float = 1, limit: float = 100, **options: Any) -> list[Any]:
        """Reserve so much of each budget; the row that a settlement needs."""
        self.calls += 1
        chosen = {"lease": 60.0, "operation": "search", "account": DIGEST, "tags": "", "at": WALL, **options}
        named = chosen.get("call", f"e5.{self.calls}")
        row = [chosen["at"], named, chosen["operation"], chosen["account"], chosen["tags"], round(amount * 1e6)]
        spec = [round(limit * 1e6) if limit >= 0 else int(limit), round(amount * 1e6), 0.0, 60.0, -1, 1]
        page = f"{keys[0].partition(':')[0]}:ledger:{self.calls % 3}"
        arguments = (named, 0, 1, chosen["lease"], 2 ** len(keys) - 1, [*row, "lost"], *([spec] * len(keys)))
        assert 1.0 == self.run("credits.reserve", [page, *keys], *arguments)[0]
        return row

    def spend(self, *keys: str, charged: float, reserved: float | None = None, **options: Any) -> None:
        """Reserve and settle."""
        row = self.reserve(*keys, amount=charged if reserved is None else reserved, **options)
        page = f"{keys[0].partition(':')[0]}:ledger:{self.calls % 3}"
        charges = [[round(charged * 1e6), 0.0, 60.0]] * len(keys)
        outcome = options.get("outcome", "settled")
        assert [1.0] == self.run("credits.settle", [page, *keys], row[1], 0, 1, 0, [*row, outcome], *charges)

    def shut(self, *names: str, seconds: float = 0, provider: str = "some") -> None:
        """Have an answer shut an account or an operation."""
        for name in names:
            key = f"{{{provider}}}:latch:{name}"
            self.run("latch.shut", [key], "call", seconds, 300.0, "402 INSUFFICIENT_CREDITS")

    def damage(self, key: str, state: Any) -> None:
        """Write what nobody would."""
        numbers = (60.0, 1)
        self.run("notes.keep", [key], *numbers)
        connection = self.store._shared._connection  # type: ignore[attr-defined]
        connection.execute("UPDATE states SET state = ? WHERE key = ?", (json.dumps(state), f"shop:{key}"))
        connection.commit()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line in a directory with a configuration; gives exit code, output and complaints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESILIENCE_CONFIG", raising=False)
    monkeypatch.setattr(RealClock, "wall", lambda *_: WALL)
    (tmp_path / "some.yaml").write_text(POLICY)
    (tmp_path / "resilience.yaml").write_text(CONFIG)

    def run(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["credits", *arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


@pytest.fixture
def some(cli: Cli) -> Spender:
    return Spender()


def cells(output: str) -> list[list[str]]:
    """The cells of a table's rows, without its lines."""
    return [re.split(r"  +", line.strip()) for line in output.splitlines() if "─" not in line]


def at_once(output: str) -> str:
    """The output as if no time had passed since the store was written."""
    return re.sub(r"\b4m5[0-9]s\b", "5m", re.sub(r"\b[0-9]s\b", "0s", output))


# The table


def test_a_table_of_budgets(cli: Cli, some: Spender) -> None:
    """One row each: what is spent, reserved, left, how much that is, until when, and what will come of it."""
    some.spend(DAILY, charged=20.5, at=MIDNIGHT + 10.0)
    some.spend(f"{DAILY}:tag.tenant=acme:account={DIGEST}", charged=80, tags="tenant=acme")
    some.reserve(DAILY, amount=1000, limit=2000)
    some.spend(f"{{anakin}}:credits:all@credits:{TODAY}:operation=-", charged=7, limit=-1, operation="")

    code, output, complaints = cli()

    assert (0, "") == (code, complaints)
    assert [
        ["provider", "budget", "unit", "for", "spent", "reserved", "left", "limit", "used", "resets in", "forecast", "so far"],
        ["anakin", "all", "credits", "operation none", "7", "0", "none", "16h", "21", "▁▁▁▁▁▁▁▁▁▁▁█"],
        ["some", "daily", "credits", "all", "20.5", "1,000", "979.5", "2,000", "51%", "16h", "61.5", "▃▁▁▁▁▁▁▁▁▁▁█"],
        ["some", "daily", "credits", f"tenant acme, account {DIGEST}", "80", "0", "20", "100", "80%", "16h", "240", "▁▁▁▁▁▁▁▁▁▁▁█"],
    ] == cells(output)  # fmt: skip


def test_the_other_budgets(cli: Cli, some: Spender) -> None:
    """A rolling one and one for all time are never new; those of older periods are shown when they are asked for."""
    some.spend("{some}:credits:a@credits:rolling-3600", charged=1)
    some.spend("{some}:credits:b@requests:ever", charged=1)
    some.spend(f"{{some}}:credits:c@credits:{YESTERDAY}", charged=5)

    now, everything = cli("some"), cli("some", "--all")

    assert ["rolls", "1", "▁▁▁▁▁▁▁▁▁▁▁█"] == cells(now[1])[1][-3:]
    assert ["never", "▁▁▁▁▁▁▁▁▁▁▁█"] == cells(now[1])[2][-2:]
    assert " c " not in now[1]
    assert "1 budget of older periods; --all shows them" == now[1].splitlines()[-1]
    assert ["some", "c", "credits", "all", "5", "0", "95", "100", "5%", "ended 2027-01-15T00:00:00Z"] == cells(
        everything[1]
    )[3]
    assert "older periods" not in everything[1]


def test_what_was_lost_is_counted_first(cli: Cli, some: Spender) -> None:
    """A call that died without a word is spent, not reserved, and stands in the ledger; of every budget of its provider."""
    some.reserve(DAILY, "{some}:credits:once@credits:ever", amount=3, lease=0.0)
    some.reserve(f"{{other}}:credits:daily@credits:{TODAY}", amount=4, lease=0.0)

    _, output, complaints = cli("--json")

    found = json.loads(output)
    assert "" == complaints
    assert [("other", "4", "0"), ("some", "3", "0"), ("some", "3", "0")] == [
        (each["provider"], each["spent"], each["reserved"]) for each in found["budgets"]
    ]
    lost = {provider: {"lost": {"rows": 1, "charged": amount}} for provider, amount in (("other", "4"), ("some", "3"))}
    assert lost == found["ledger"]["outcomes"]


def test_a_sweep_that_fails_is_told(cli: Cli, some: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is shown all the same."""
    some.reserve(DAILY, amount=3, lease=0.0)

    def broken(*_: object) -> list[float]:
        raise KeyError("open")

    monkeypatch.setitem(SCRIPTS, "credits.sweep", broken)

    code, output, complaints = cli()

    assert (0, "3") == (code, cells(output)[1][5])
    assert "resilience: calls of some that were lost could not be counted: " in complaints


def test_latches_and_balances(cli: Cli, some: Spender) -> None:
    """As sentences: what is shut, for how long, why, and until when; what the provider has told, and when."""
    some.shut(f"account:{DIGEST}")
    some.shut("operation.search:-", seconds=7200, provider="anakin")
    key = f"{{some}}:credits:balance@credits:ever:account={DIGEST}"
    some.run("credits.report", ["{some}:ledger:0", key], 80_000_000, 60.0, [])
    some.spend(key, charged=5, limit=-2)
    some.reserve("{some}:credits:balance@credits:ever:account=-", amount=2, limit=-2)

    code, output, complaints = cli()

    assert (0, "") == (code, complaints)
    output = at_once(output)
    rows = cells(output)
    assert ["provider", "for", "balance", "told", "spent", "reserved", "left"] == rows[0]
    assert ["some", "account none", "not yet", "0", "2"] == rows[1]
    assert ["some", f"account {DIGEST}", "80 credits", "0s ago", "5", "0", "75"] == rows[2]
    assert [
        "anakin: operation search of the account shut for 0s by 402 INSUFFICIENT_CREDITS, opens in 2h",
        f"some: account {DIGEST} shut for 0s by 402 INSUFFICIENT_CREDITS, next look in 5m",
        "`resilience credits unlatch anakin` opens what is shut, as after a payment",
        "`resilience credits unlatch some` opens what is shut, as after a payment",
    ] == output.splitlines()[-4:]


def latch_of(**fields: Any) -> Latch:
    values: dict[str, Any] = {"key": "k", "provider": "some", "operation": None, "account": "-", "why": "402 \x1b[31m"}
    return Latch(**{**values, "shut_for": 240.0, "opens_in": None, "looks_in": 60.0, **fields})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "some: the account shut for 4m by 402 \ufffd[31m, next look in 1m"),
        ({"looks_in": 0.0}, "some: the account shut for 4m by 402 \ufffd[31m, the next call looks"),
        ({"looks_in": None}, "some: the account shut for 4m by 402 \ufffd[31m"),
        ({"opens_in": 9e5, "shut_for": 90_061.0, "looks_in": None},
         "some: the account shut for 1d1h by 402 \ufffd[31m, opens in 10d10h"),
    ],
)  # fmt: skip
def test_a_latch_in_words(fields: dict[str, Any], said: str) -> None:
    """A provider's answer cannot command a terminal."""
    assert said == latch_text(latch_of(**fields)).plain


def line_of(**fields: Any) -> Line:
    values: dict[str, Any] = {
        "key": "k", "provider": "technologychecker", "budget": "monthly-for-tenants", "unit": "credits",
        "span": Span("calendar", MIDNIGHT, MIDNIGHT + 86_400.0, 86_400.0),
        "scopes": {"account": DIGEST, "operation": "technology-lookup", "tag.tenant": "a-very-long-name-of-a-tenant" * 2},
        "limit": Decimal("250000.5"), "spent": Decimal("123456.654321"), "reserved": Decimal(12), "left": Decimal("1.5"),
        "calls": 1, "used": 0.5, "resets_in": 2_000_000.0, "forecast": Decimal("249999.123"), "told_ago": 3.0,
        "is_over": False, "is_late": False, "history": (Decimal(0), Decimal(1), Decimal(3)) * 4,
    }  # fmt: skip
    return Line(**{**values, **fields})


def row_of(**fields: Any) -> Settlement:
    values: dict[str, Any] = {
        "provider": "technologychecker", "at": WALL + 0.5, "call": "a1b2c3d4e5f6.1f4a.2d", "operation": "technology-lookup",
        "account": DIGEST, "tags": "job=nightly,tenant=" + "a" * 60, "reserved": Decimal("123456.5"),
        "outcome": "unanswered", "charged": Decimal("0.000001"),
    }  # fmt: skip
    return Settlement(**{**values, **fields})


@pytest.mark.parametrize(
    "table",
    [
        Budgets((line_of(), line_of(is_over=True, used=1.2), line_of(limit=None, left=None, used=None))),
        Budgets((line_of(),), has_sparks=False),
        Balances((line_of(), line_of(limit=None))),
        Settlements((row_of(), row_of(operation="", tags="", account="-"))),
        latch_text(latch_of(operation="technology-lookup", account=DIGEST, why="402 " + "INSUFFICIENT_CREDITS " * 5)),
    ],
    ids=lambda table: type(table).__name__,
)
def test_all_of_it_fits_into_80_columns(table: Any) -> None:
    """Nothing is cut: what is long goes on in the next line."""
    shown: dict[int, str] = {}

    for width in (80, 400):
        console = Console(width=width, color_system=None)
        with console.capture() as captured:
            console.print(table)
        shown[width] = captured.get()

    assert 80 >= max(len(line.rstrip()) for line in shown[80].splitlines())
    assert not any("\N{HORIZONTAL ELLIPSIS}" in text for text in shown.values())
    # On a narrow screen what is counted apart has lines instead of commas.
    signs = {width: sorted(re.sub(r"[\s─,]", "", text)) for width, text in shown.items()}
    assert signs[80] == signs[400]


@pytest.mark.parametrize("width", [80, 400])
def test_nothing_in_a_table_commands_a_terminal(width: int) -> None:
    """Whoever has written it, in whichever cell, and however wide the table is."""
    evil = "\x1b[31m\x9b2J"
    names = dict.fromkeys(("provider", "budget", "unit"), evil)
    line = line_of(**names, scopes={evil: evil})
    row = row_of(**dict.fromkeys(("provider", "call", "operation", "account", "tags", "outcome"), evil))
    console = Console(width=width, color_system=None)

    with console.capture() as captured:
        console.print(Budgets((line,)), Balances((line,)), Settlements((row,)))

    assert 15 <= captured.get().count("\ufffd[31m")
    assert not set("\x1b\x9b") & set(captured.get())


@pytest.mark.parametrize(
    ("fields", "red", "yellow"),
    [
        ({"used": 0.79}, 0, 0),
        ({"used": 0.8}, 0, 1),
        ({"used": 1.0}, 1, 0),
        ({"forecast": Decimal("250000.6")}, 1, 0),
        ({"limit": None, "used": None}, 0, 0),
        ({"forecast": None}, 0, 0),
    ],
)
def test_what_is_used_up_has_a_colour(
    fields: dict[str, Any], red: int, yellow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Yellow from four fifths, red at the end of it, and where it will not last until the period ends."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console(force_terminal=True, color_system="standard", width=300)

    with console.capture() as captured:
        console.print(Budgets((line_of(**fields),)))

    assert (red, yellow) == (captured.get().count("\x1b[31m"), captured.get().count("\x1b[33m"))


@pytest.mark.parametrize(
    ("history", "shown"),
    [((), ""), ((0, 0), ""), ((-1, 0), ""), ((0, 1, 7), "▁▂█"), ((5,), "█"), ((-3, 4, 8), "▁▅█"), (("0.000001", 1000), "▂█")],
)  # fmt: skip
def test_a_spark_line(history: tuple[Any, ...], shown: str) -> None:
    """The most is a whole block, and what is more than nothing is told from it."""
    assert shown == spark(tuple(map(Decimal, history)))


def test_an_output_that_holds_no_blocks(cli: Cli, some: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gets no spark-line rather than escapes."""
    some.spend(DAILY, charged=1)
    monkeypatch.setattr("resilience.cli._credits.is_unicode", lambda: False)

    _, output, _ = cli()

    assert ("█" in output, "so far" in output, "forecast" in output) == (False, False, True)


# Nothing there


def test_the_memory_of_a_process_is_its_own(cli: Cli, tmp_path: Path) -> None:
    """That is said, and how to share it; only changing it is a mistake."""
    (tmp_path / "resilience.yaml").unlink()

    shown, ledger, as_csv, unlatched = cli(), cli("ledger"), cli("ledger", "--csv", "-"), cli("unlatch", "anakin")

    assert [(0, f"{ALONE}\n", "")] * 2 == [shown, ledger]
    assert (0, 1, f"resilience: {ALONE}\n") == (as_csv[0], as_csv[1].count("\n"), as_csv[2])
    assert (2, "", f"resilience: {ALONE}\n") == unlatched
    assert ALONE == json.loads(cli("--json")[1])["note"] == json.loads(cli("ledger", "--json")[1])["note"]


def test_a_store_that_nobody_has_used(cli: Cli) -> None:
    """Looking at it does not make it."""
    code, output, complaints = cli()

    assert (2, "", False) == (code, output, Path("state.db").exists())
    assert "there is no store sqlite:///" in complaints


def test_without_budgets(cli: Cli, some: Spender) -> None:
    """It is said what to write; the sample can be honoured."""
    some.shut("account:-")
    some.run("latch.lift", ["{some}:latch:account:-"])

    code, output, complaints = cli("some")

    assert (0, "") == (code, complaints)
    assert re.match(r"there is nothing of credits in sqlite:///.*state\.db, and there are no budgets;\n", output)
    sample = output.splitlines()[1].removeprefix("write some in resilience.yaml: ")
    Path("resilience.yaml").write_text(f"{CONFIG}{sample}\n")
    _, output, _ = cli()
    assert re.fullmatch(r"no call has been counted in .*state\.db yet; budgets: some daily \(500/day\)\n", output)
    assert "there are no budgets" in cli("anakin")[1]


@pytest.mark.parametrize("command", [(), ("show",), ("ledger",), ("unlatch",)], ids=str)
def test_a_provider_that_is_none(command: tuple[str, ...], cli: Cli, some: Spender) -> None:
    """Exit code 2, with the name that was meant; the store may know one of which the configuration has no policy."""
    some.spend(f"{{other}}:credits:daily@credits:{TODAY}", charged=1)
    some.shut("account:-", provider="other")

    code, output, complaints = cli(*command, "sone")

    assert (2, "") == (code, output)
    assert complaints.endswith("has no state of one; did you mean 'some'?\n")
    assert cli(*command, "x!")[2].endswith("has no state of one; there are: anakin, some\n")
    assert 0 == cli(*command, "other")[0]


def test_a_command_that_is_none(cli: Cli, some: Spender) -> None:
    """Is taken for a provider, but what was meant is found."""
    assert cli("legder")[2].endswith("did you mean 'ledger'?\n")


def test_a_store_that_is_down(cli: Cli, some: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, and why."""
    some.shut("account:-")

    def down(*_: object) -> Any:
        raise OSError("gone")

    with monkeypatch.context() as patched:
        patched.setattr("resilience.stores._fallback.FallbackStore.scan", down)
        found = [cli(), cli("ledger"), cli("unlatch", "some")]
    monkeypatch.setattr("resilience.stores._fallback.FallbackStore.run", down)
    found.append(cli("unlatch", "some"))

    assert [(1, "")] * 4 == [each[:2] for each in found]
    assert all("cannot be reached: gone" in each[2] for each in found)


def test_what_others_have_written(cli: Cli, some: Spender) -> None:
    """Is left out with a line on standard error; nothing commands a terminal, and nothing is a traceback."""
    some.spend(f"{DAILY}:tag.\x1b[31m=\x1b[32m", charged=1)
    some.spend(f"{{some}}:credits:\x1b[33m@\x1b[34m:{TODAY}", charged=1)
    some.damage(f"{{some}}:credits:bad@credits:{TODAY}", {"limit": "text"})
    some.damage("{some}:credits:\x1b[31m", {})
    some.damage("{some}:latch:account:1", {"until": []})
    some.damage("{some}:ledger:9", {"rows": [["x"]], "dropped": 0, "charged": 0})

    for arguments in (), ("some",), ("ledger",), ("ledger", "--csv", "-"):
        code, output, complaints = cli(*arguments)

        assert (0, 4, True) == (code, complaints.count("resilience: "), "some" in output)
        assert "bad@credits" in complaints
        assert "1 row of the ledger cannot be read" in complaints
        assert not any(word in output + complaints for word in ("\x1b", "Traceback"))
    assert 4 == len(json.loads(cli("--json")[1])["warnings"])


def test_more_than_is_looked_at(cli: Cli, some: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is said, and what to do."""
    some.spend(DAILY, charged=1)
    monkeypatch.setattr("resilience._credits_report.MOST_STATES", 1)

    assert "states, and not all were looked at; name a PROVIDER" in cli()[1]


# JSON

AMOUNT = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
SUMS = {
    "type": "object",
    "additionalProperties": {
        "type": "object", "required": ["rows", "charged"], "additionalProperties": False,
        "properties": {"rows": {"type": "integer"}, "charged": AMOUNT},
    },
}  # fmt: skip
NUMBER = {"type": ["number", "null"]}
BUDGET: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **{key: {"type": "string"} for key in ("provider", "budget", "unit", "key")},
        "scopes": {"type": "object", "additionalProperties": {"type": "string"}},
        "period": {
            "type": "object", "required": ["kind", "begins", "ends", "seconds"],
            "properties": {
                "kind": {"enum": ["calendar", "rolling", "ever"]},
                "begins": {"type": ["string", "null"]}, "ends": {"type": ["string", "null"]}, "seconds": NUMBER,
            },
        },
        **dict.fromkeys(("spent", "reserved"), AMOUNT),
        **{key: {"anyOf": [AMOUNT, {"type": "null"}]} for key in ("limit", "left", "forecast")},
        **dict.fromkeys(("used", "resets_in"), NUMBER),
        "calls": {"type": "integer"},
        "is_over": {"type": "boolean"},
        "history": {"type": "array", "items": AMOUNT},
    },
}  # fmt: skip
BUDGET["required"] = list(BUDGET["properties"])
BALANCE = {**BUDGET, "properties": {**BUDGET["properties"], "told_ago": {"type": "number"}}}
LATCH: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **{key: {"type": "string"} for key in ("provider", "account", "why", "key")},
        "operation": {"type": ["string", "null"]},
        "shut_for": {"type": "number"},
        **dict.fromkeys(("opens_in", "looks_in"), NUMBER),
    },
}
LATCH["required"] = list(LATCH["properties"])
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "store": {"type": "string"},
        "namespace": {"const": "shop"},
        "budgets": {"type": "array", "items": BUDGET},
        "balances": {"type": "array", "items": BALANCE},
        "latches": {"type": "array", "items": LATCH},
        "ledger": {
            "type": "object", "required": ["outcomes", "dropped"],
            "properties": {"outcomes": {"type": "object", "additionalProperties": SUMS}, "dropped": SUMS},
        },
        "warnings": {"type": "array", "items": {"type": "string"}},
        "more": {"type": "boolean"},
    },
}  # fmt: skip
SCHEMA["required"] = list(SCHEMA["properties"])


def test_in_json(cli: Cli, some: Spender) -> None:
    """One object of one shape; amounts are exact, as texts, and times are seconds or ISO 8601."""
    some.spend(f"{DAILY}:tag.tenant=acme", charged=0.1, tags="tenant=acme")
    some.spend("{some}:credits:b@USD:rolling-3600", charged=1e9, limit=1e9)
    some.spend("{some}:credits:c@requests:ever", charged=1, limit=-1)
    some.run("credits.report", ["{some}:ledger:0", "{some}:credits:balance@credits:ever"], 5_500_000, 60.0, [])
    some.shut("account:-", "operation.search:-")

    code, output, complaints = cli("--json")

    assert (0, "") == (code, complaints)
    found = json.loads(output)
    jsonschema.validate(found, SCHEMA, cls=jsonschema.Draft202012Validator)
    second, _, first = found["budgets"]
    assert ("0.1", "99.9", "1000000000", {"tag.tenant": "acme"}) == (
        first["spent"], first["left"], second["limit"], first["scopes"],
    )  # fmt: skip
    assert {
        "kind": "calendar",
        "begins": "2027-01-15T00:00:00Z",
        "ends": "2027-01-16T00:00:00Z",
        "seconds": 86400.0,
    } == (first["period"])
    assert ("5.5", [None, "search"]) == (found["balances"][0]["left"], [each["operation"] for each in found["latches"]])


# The ledger


def test_the_ledger_as_a_table(cli: Cli, some: Spender) -> None:
    """By time, with the sums of each outcome below, in the unit of the policy."""
    some.spend(DAILY, charged=0.5, reserved=3, at=WALL - 5, call="e5.second", tags="tenant=acme")
    some.spend(DAILY, charged=2, at=WALL - 60, call="e5.first", operation="", account="-", outcome="failed")
    some.spend("{other}:credits:daily@x:ever", charged=1, at=WALL, call="e5.third")

    code, output, complaints = cli("ledger")

    assert (0, "") == (code, complaints)
    assert [
        ["time", "call", "outcome", "provider", "operation", "account", "tags", "reserved", "charged"],
        ["2027-01-15T07:59:00Z", "e5.first", "failed", "some", "-", "2", "2"],
        ["2027-01-15T07:59:55Z", "e5.second", "settled", "some", "search", DIGEST, "tenant=acme", "3", "0.5"],
        ["2027-01-15T08:00:00Z", "e5.third", "settled", "other", "search", DIGEST, "1", "1"],
        ["some: 1 failed (2), 1 settled (0.5) credits"],
        ["other: 1 settled (1)"],
    ] == cells(output)


def test_a_part_of_the_ledger(cli: Cli, some: Spender) -> None:
    """The last ones, those since a time, those of a provider; a table has fifty unless it is told otherwise."""
    for number in range(60):
        some.spend(DAILY, charged=1, at=WALL - number * 60)
    some.spend("{anakin}:credits:daily@x:ever", charged=1, at=WALL)

    def times(*arguments: str) -> list[str]:
        return [row["time"][11:16] for row in json.loads(cli("ledger", "--json", *arguments)[1])["settlements"]]

    assert (61, 60, 1) == (len(times()), len(times("some")), len(times("anakin")))
    assert ["07:58", "07:59", "08:00"] == times("some", "--since", "2m")
    assert ["07:59", "08:00"] == times("some", "--limit", "2")
    shown = cli("ledger", "some")[1].splitlines()
    assert (50, "the last 50 of 60 settlements; --limit 60 shows all") == (len(shown) - 4, shown[-2])
    assert 62 == len(cli("ledger", "some", "--limit", "60")[1].splitlines()) - 1
    outcomes = json.loads(cli("ledger", "--json", "some", "--limit", "2")[1])["outcomes"]
    assert {"some": {"settled": {"rows": 60, "charged": "60"}}} == outcomes


def test_an_empty_ledger(cli: Cli, some: Spender) -> None:
    """It is said what writes one."""
    some.shut("account:-")

    code, output, complaints = cli("ledger")

    assert (0, "") == (code, complaints)
    assert re.fullmatch(
        r"no settlement is in sqlite:///.*; `ledger: true` under a provider .* writes them down\n", output
    )


def test_what_the_ledger_has_forgotten(cli: Cli, some: Spender) -> None:
    """Is told, with what it has cost."""
    for _ in range(3 * 33):
        some.spend(DAILY, charged=1)

    assert "some: 3 older settlements are forgotten, which cost 3\n" in cli("ledger")[1]
    assert {"some": {"rows": 3, "charged": "3"}} == json.loads(cli("ledger", "--json")[1])["dropped"]


def test_a_policy_without_prices_counts_requests(cli: Cli, some: Spender, tmp_path: Path) -> None:
    """And that is the unit of its ledger."""
    some.spend(DAILY, charged=1)
    (tmp_path / "some.yaml").write_text(POLICY.replace("credits:", "# credits:"))

    assert "requests" == json.loads(cli("ledger", "--json")[1])["settlements"][0]["unit"]


def test_csv_is_read_back(cli: Cli, some: Spender) -> None:
    """RFC 4180: a header, lines that end with CR LF, quotes where they are needed; numbers are exact."""
    some.spend(DAILY, charged=0.000001, reserved=1234.5, limit=1e6, at=WALL + 0.25, tags='job="a", b,name=ü')
    some.spend(DAILY, charged=5, operation="", account="-", at=WALL + 1)

    code, output, complaints = cli("ledger", "--csv", "-")
    written = cli("ledger", "some", "--csv", "spent.csv")

    assert (0, "") == (code, complaints)
    assert (0, "2 settlements in spent.csv\n", "") == written
    data = Path("spent.csv").read_bytes()
    assert output.encode() == data
    assert 3 == data.count(b"\r\n") == data.count(b"\n")
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert {
        "time": "2027-01-15T08:00:00.250Z", "provider": "some", "call": "e5.1", "operation": "search", "account": DIGEST,
        "tags": 'job="a", b,name=ü', "reserved": "1234.5", "charged": "0.000001", "outcome": "settled", "unit": "credits",
    } == rows[0]  # fmt: skip
    assert ("", "-", "5") == (rows[1]["operation"], rows[1]["account"], rows[1]["charged"])


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'=1"), (" \r\n@x", "'@x"),
        ("\uff1d1", "'\uff1d1"), ("\x00=1", "\ufffd=1"), ("\x1b]0;x", "\ufffd]0;x"), ("-", "-"), ("a=b", "a=b"), ("", ""),
        ("\ud800", "\ufffd"),
    ],
    ids=ascii,
)  # fmt: skip
def test_no_cell_is_a_formula(text: str, cell: str) -> None:
    """What a spreadsheet would run is a text, in whichever column; a negative number is no formula."""
    row = row_of(call=text, operation=text, account=text, tags=text, outcome=text, provider=text, charged=Decimal(-5))

    (found,) = csv.DictReader(io.StringIO(csv_text((row,), {text: text}), newline=""))

    names = ("call", "operation", "account", "tags", "outcome", "provider", "unit")
    assert [cell] * 7 == [found[name] for name in names]
    assert "-5" == found["charged"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "--since: 'yesterday' is not a duration; write a number with its unit"),
        (("--json", "--csv", "-"), "--json and --csv are two forms of the same; choose one"),
        (("--csv", "no/such/place.csv"), "no/such/place.csv"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], said: str, cli: Cli, some: Spender) -> None:
    """Exit code 2, a few lines, and no traceback."""
    some.spend(DAILY, charged=1)

    code, output, complaints = cli("ledger", *arguments)

    assert (2, "") == (code, output)
    assert said in complaints
    assert complaints.count("\n") <= 4


# Opening


def test_unlatching_a_provider(cli: Cli, some: Spender) -> None:
    """All that is shut of it, and nothing of the others; a second time there is nothing, which is exit code 1."""
    some.shut(f"account:{DIGEST}", "operation.search:-", seconds=60)
    some.shut("account:-", provider="anakin")

    first, again = cli("unlatch", "some"), cli("unlatch", "some")

    assert (0, "") == (first[0], first[2])
    assert [
        f"some: account {DIGEST} is open again, after 0s by 402 INSUFFICIENT_CREDITS",
        "some: operation search of the account is open again, after 0s by 402 INSUFFICIENT_CREDITS",
    ] == at_once(first[1]).splitlines()
    assert (1, "") == again[:2]
    assert re.fullmatch(r"resilience: nothing of some is shut in sqlite:///.*state\.db\n", again[2])
    assert ["{anakin}:latch:account:-"] == [key for key, _ in some.store.scan("")]


def test_what_is_shut_is_found_among_many_budgets(cli: Cli, some: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than are looked at."""
    monkeypatch.setattr("resilience._credits_report.MOST_STATES", 3)
    for number in range(5):
        some.spend(f"{{some}}:credits:daily@credits:ever:tag.job=j{number}", charged=1)
    some.shut("account:-")

    opened, reset = cli("unlatch", "some"), cli("reset", "some", "daily", "--tag", "job=j4")

    assert (0, "some: the account is open again, after 0s by 402 INSUFFICIENT_CREDITS") == (
        opened[0],
        at_once(opened[1]).strip(),
    )
    assert 1 == reset[0]
    assert "as far as it was looked through: it holds more states than that" in reset[2]


@pytest.mark.parametrize(
    ("arguments", "opened"),
    [
        (("--account", DIGEST), [f"account:{DIGEST}", f"operation.search:{DIGEST}"]),
        (("--operation", "search"), ["operation.search:-", f"operation.search:{DIGEST}"]),
        (("--operation", "search", "--account", "-"), ["operation.search:-"]),
        (("--account", "3f"), []),
        (("--operation", ""), []),
    ],
)
def test_unlatching_a_part(arguments: tuple[str, ...], opened: list[str], cli: Cli, some: Spender) -> None:
    """Of an account, of an operation, or of both; where nothing fits, what is shut is named."""
    some.shut(f"account:{DIGEST}", "operation.search:-", f"operation.search:{DIGEST}", "operation.crawl:-")

    code, output, complaints = cli("unlatch", "some", *arguments, "--json")

    found = json.loads(output)
    keys = [f"{{some}}:latch:{name}" for name in opened]
    assert (0 if opened else 1, keys) == (code, [each["key"] for each in found["opened"]])
    assert sorted(keys) == sorted({each["key"] for each in found["opened"]})
    assert 4 - len(opened) == len(list(some.store.scan("")))
    assert opened or complaints.startswith(
        f"resilience: nothing is shut that you name; some: account {DIGEST} shut for "
    )


def test_a_latch_that_another_process_has_opened(cli: Cli, some: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Was not opened here."""
    some.shut("account:-")
    monkeypatch.setitem(SCRIPTS, "latch.lift", lambda *_: [0.0])

    assert (1, "") == cli("unlatch", "some")[:2]


def test_a_change_that_stays_in_this_process_is_none(cli: Cli, some: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that can be read but not written lets a client go on alone; by hand that is of no use."""
    some.shut("account:-")
    monkeypatch.setattr("resilience.stores._fallback.FallbackStore.is_away", True)

    code, output, complaints = cli("unlatch", "some")

    assert (1, "") == (code, output)
    assert "cannot be written, and no other process knows of the change" in complaints


# Help


@pytest.mark.parametrize("command", ["", "show", "ledger", "unlatch"])
def test_every_command_has_help_with_an_example_and_json(command: str, cli: Cli) -> None:
    """As the other commands have; `resilience credits --help` names those that there are, and its own options."""
    code, output, complaints = cli(*command.split(), "--help")

    assert (0, "") == (code, complaints)
    assert "--json" in output
    assert re.search(
        rf"Example:\n +resilience credits {command if command not in {'', 'show'} else 'anakin'}\b", output
    )
    if not command:
        assert all(f"\n  {name} " in output for name in ("show", "ledger", "unlatch"))
        assert "[PROVIDER] | COMMAND" in output


def test_the_default_takes_its_options(cli: Cli, some: Spender) -> None:
    """Before a provider or behind it, or without one."""
    some.spend(DAILY, charged=1)

    found = [cli("--json", "some"), cli("some", "--json"), cli("--json"), cli("show", "--json")]

    assert [0] * 4 == [each[0] for each in found]
    assert 1 == len({json.dumps(json.loads(each[1])["budgets"]) for each in found})


def test_unlatching_forgets_a_balance(cli: Cli, some: Spender) -> None:
    """After a payment it is no longer true; a single operation has none."""
    key = f"{{some}}:credits:balance@credits:ever:account={DIGEST}"
    some.run("credits.report", ["{some}:ledger:0", key], 2_000_000, 3600.0, [0, "a", "", DIGEST, "", 0, "balance"])

    part, first, again = cli("unlatch", "some", "--operation", "search"), cli("unlatch", "some"), cli("unlatch", "some")

    assert (1, 0, 1) == (part[0], first[0], again[0])
    assert "the balance of 2 credits that some has told is forgotten\n" == first[1]
    assert [-1] == [state["limit"] for _, state in some.store.scan("{some}:credits:")]


def test_resetting_a_budget(cli: Cli, some: Spender) -> None:
    """All of it, or what is counted by a tag; the ledger stays."""
    keys = [f"{{some}}:credits:job@credits:ever:tag.job={name}" for name in ("a", "b%40c")]
    for key in keys:
        some.spend(key, charged=5)

    wrong, none = cli("reset", "some", "job", "--tag", "a"), cli("reset", "some", "other")
    one, rest = cli("reset", "some", "job", "--tag", "job=b@c"), cli("reset", "some", "job", "--json")

    assert (2, 1) == (wrong[0], none[0])
    assert "NAME=VALUE" in wrong[2]
    assert "job of tag.job=b@c begins anew; 5 credits were spent\n" == one[1]
    assert ["a"] == [each["scopes"]["tag.job"] for each in json.loads(rest[1])["reset"]]
    assert {"0"} == {line["spent"] for line in json.loads(cli("show", "--json")[1])["budgets"]}
    assert 1 == cli("reset", "some", "job")[0]


@pytest.mark.parametrize("job", ["x" * 121, "株式会社サンプルホールディングス", "-", "~", "a=b, c"])
def test_resetting_what_is_counted_by_a_tag_of_any_value(cli: Cli, some: Spender, job: str) -> None:
    """By the value that the program gave, also where a digest stands for it."""
    some.spend(f"{{some}}:credits:job@credits:ever:tag.job={key_part(job)}", charged=5)
    some.spend("{some}:credits:job@credits:ever:tag.job=another", charged=7)

    code, said, _ = cli("reset", "some", "job", "--tag", f"job={job}")

    assert 0 == code
    assert said.endswith(" begins anew; 5 credits were spent\n")
    assert 1 == said.count("\n")


def test_what_calls_under_way_cost_counts_in_the_new_beginning(cli: Cli, some: Spender) -> None:
    """Nothing of it is lost, neither to the budget nor to the ledger."""
    key = "{some}:credits:job@credits:ever"
    row = some.reserve(key, amount=30)

    assert 1 == cli("reset", "some", "job")[0]
    some.spend(key, charged=5)
    assert (0, "job begins anew; 5 credits were spent\n") == cli("reset", "some", "job")[:2]
    some.run("credits.settle", ["{some}:ledger:1", key], row[1], 0, 1, 0, [*row, "settled"], [20_000_000, 0.0, 60.0])

    (line,) = json.loads(cli("show", "--json")[1])["budgets"]
    assert ("20", "0") == (line["spent"], line["reserved"])
    assert {"5", "20"} == {each["charged"] for each in json.loads(cli("ledger", "--json")[1])["settlements"]}
