"""`resilience config show`, and what `resilience check` says of the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from resilience._modes import LAYERS
from resilience._store_url import masked
from resilience.cli import main

OWN = """\
version: 1
provider: own
match: {hosts: [own.test]}
plans: {big: {calls: 10/minute}}
limits: [{name: calls, rate: '{plan.calls}', per: provider}]
"""
CONFIG = """\
version: 1
policies: [own.yaml]
shipped: [anakin, scrapio]
mode: {limiter: observe}
providers:
  own:
    mode: {breaker: off}
    budgets: [{name: day, limit: 100 requests/day}]
  scrapio: {off: true}
"""

Cli = Callable[..., tuple[object, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line in a directory with a configuration; gives exit code, output and complaints."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RESILIENCE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "own.yaml").write_text(OWN)
    (tmp_path / "resilience.yaml").write_text(CONFIG)

    def run(*arguments: str, **variables: str) -> tuple[object, str, str]:
        for name, text in variables.items():
            monkeypatch.setenv(f"RESILIENCE_{name}", text)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def rows(output: str) -> dict[str, tuple[str, str]]:
    """Value and origin by key."""
    split = [[part for part in line.split("  ") if part] for line in output.splitlines()]
    return {parts[0].strip(): (parts[1].strip(), parts[2].strip()) for parts in split if len(parts) == 3}


def shown(cli: Cli, *arguments: str, **variables: str) -> Any:
    code, output, complaints = cli("config", "show", "--json", *arguments, **variables)
    assert (0, "") == (code, complaints)
    return json.loads(output)


def at(line: int, column: int, file: str = "resilience.yaml") -> dict[str, object]:
    return {"kind": "file", "file": file, "line": line, "column": column}


def test_every_value_of_the_file_has_its_origin(cli: Cli) -> None:
    """Nobody, the file with line and column, or a variable."""
    found = shown(cli, NAMESPACE="mine", MODE="retry=off")

    assert ("resilience.yaml", ["RESILIENCE_MODE", "RESILIENCE_NAMESPACE"]) == (found["file"], found["variables"])
    default = {"kind": "default"}
    assert {
        "policies": {"value": ["own.yaml"], "origin": at(2, 11)},
        "shipped": {"value": ["anakin", "scrapio"], "origin": at(3, 10)},
        "store": {"value": "memory://", "origin": default},
        "namespace": {"value": "mine", "origin": {"kind": "environment", "variable": "RESILIENCE_NAMESPACE"}},
        "spans": {"value": "touched", "origin": default},
        "refusals": {"value": "reply", "origin": default},
        "reload": {"value": "5s", "origin": default},
        "gate": {"value": "auto", "origin": default},
        **{f"mode.{layer}": {"value": "enforce", "origin": default} for layer in LAYERS},
        "mode.limiter": {"value": "observe", "origin": at(4, 17)},
        "mode.retry": {"value": "off", "origin": {"kind": "environment", "variable": "RESILIENCE_MODE"}},
    } == found["settings"]


def test_every_value_of_a_provider_has_its_origin(cli: Cli) -> None:
    """Also its policy, and what it takes from the whole file; modes are those that apply."""
    found = shown(cli, PROVIDER_OWN_PLAN="big", REFUSALS="raise")["providers"]

    assert ["anakin", "own", "scrapio"] == list(found)
    default = {"kind": "default"}
    assert {
        "off": {"value": False, "origin": default},
        "policy": {"value": "own.yaml", "origin": at(2, 11)},
        "hosts": {"value": ["own.test"], "origin": {**at(3, 16, "own.yaml"), "kind": "policy"}},
        "plan": {"value": "big", "origin": {"kind": "environment", "variable": "RESILIENCE_PROVIDER_OWN_PLAN"}},
        **{f"mode.{layer}": {"value": "enforce", "origin": default} for layer in LAYERS},
        "mode.breaker": {"value": "off", "origin": at(7, 21)},
        "mode.limiter": {"value": "observe", "origin": at(4, 17)},
        "refusals": {"value": "raise", "origin": {"kind": "environment", "variable": "RESILIENCE_REFUSALS"}},
        "budgets.day": {"value": "100 requests/day", "origin": at(8, 15)},
        "ledger": {"value": True, "origin": default},
    } == found["own"]
    assert {"off": {"value": True, "origin": at(9, 18)}} == found["scrapio"]


def test_one_word_for_all_modes_is_their_origin(cli: Cli, tmp_path: Path) -> None:
    """Of the file, of a provider, or of a variable; in the table it is one line."""
    (tmp_path / "resilience.yaml").write_text("version: 1\nmode: observe\nproviders: {anakin: {mode: off}}\n")

    found = shown(cli, PROVIDER_SCRAPIO_MODE="enforce")
    table = rows(cli("config", "show")[1])

    assert {"value": "observe", "origin": at(2, 7)} == found["settings"]["mode.retry"]
    assert ("observe", "resilience.yaml:2:7") == table["mode"]
    assert ("off", "resilience.yaml:3:28") == table["anakin.mode"]
    assert ("enforce", "environment variable RESILIENCE_PROVIDER_SCRAPIO_MODE") == table["scrapio.mode"]
    assert ("observe", "resilience.yaml:2:7") == table["omniscrape.mode"]


def test_the_table_says_the_same(cli: Cli) -> None:
    """With the file and the variables above it."""
    code, output, complaints = cli("config", "show", SPANS="never")

    assert (0, "") == (code, complaints)
    assert ["file: resilience.yaml", "environment: RESILIENCE_SPANS"] == output.splitlines()[:2]
    table = rows(output)
    assert ("never", "environment variable RESILIENCE_SPANS") == table["spans"]
    assert ("own.test", "policy own.yaml:3:16") == table["own.hosts"]
    assert ("none", "default") == table["own.plan"]


def test_without_a_file_there_are_defaults(cli: Cli, tmp_path: Path) -> None:
    """And all shipped policies."""
    (tmp_path / "resilience.yaml").unlink()

    output = cli("config", "show")[1]
    found = shown(cli)

    assert "no file: no resilience.yaml here, and RESILIENCE_CONFIG names none" == output.splitlines()[0]
    assert (None, []) == (found["file"], found["variables"])
    assert {"default"} == {each["origin"]["kind"] for each in found["settings"].values()}
    assert {"anakin", "scrapio", "55-tech"} < set(found["providers"])


def test_another_file(cli: Cli, tmp_path: Path) -> None:
    """By option, which goes before the variable."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"version: 1\nnamespace: {name}\n")

    assert "two" == shown(cli, "--config", "two.yaml", CONFIG="one.yaml")["settings"]["namespace"]["value"]
    assert "one" == shown(cli)["settings"]["namespace"]["value"]


def test_what_a_file_extends_is_the_origin_of_what_stands_there(cli: Cli, tmp_path: Path) -> None:
    """Each value at its own place."""
    (tmp_path / "base.yaml").write_text("version: 1\nnamespace: base\nspans: never\n")
    (tmp_path / "resilience.yaml").write_text("extends: ./base.yaml\nspans: always\n")

    found = shown(cli)["settings"]

    assert (at(2, 12, "base.yaml"), at(2, 8)) == (found["namespace"]["origin"], found["spans"]["origin"])


@pytest.mark.parametrize(
    ("store", "hidden"),
    [
        ("redis://:${PW}@cache:6379/0", "redis://REDACTED@cache:6379/0"),
        ("redis://me:hunter2@cache:6379/0", "redis://REDACTED@cache:6379/0"),
        ("redis://cache:6379/0?password=hunter2", "redis://cache:6379/0?REDACTED"),
        ("redis://${PW}:6379", "redis://${PW}:6379"),
    ],
)
@pytest.mark.parametrize("door", ["file", "variable"])
def test_no_password_is_shown(
    store: str, hidden: str, door: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what is written nor what a variable has; the URL stands as it was written, unfilled."""
    monkeypatch.setenv("PW", "hunter2")
    if door == "file":
        (tmp_path / "resilience.yaml").write_text(f"version: 1\nstore: {store}\n")
    else:
        monkeypatch.setenv("RESILIENCE_STORE", store)

    for arguments in ([], ["--json"]):
        code, output, complaints = cli("config", "show", *arguments)
        assert (0, "") == (code, complaints)
        assert hidden in output
        assert "hunter2" not in output


@given(some.text(max_size=60))
def test_a_store_in_any_form_shows_no_user(text: str) -> None:
    """Whatever stands before an at-sign is gone; so is what is no URL."""
    for store in (text, f"redis://secret:{text}@host"):
        found = masked(store)
        assert "://" in store or found in {"REDACTED", store}
        assert "secret" not in found


def test_what_cannot_be_honoured_ends_it(cli: Cli) -> None:
    """With the places and the variables."""
    assert (
        2,
        "",
        "resilience: RESILIENCE_SPANS: 'spans' must be 'always', 'touched', 'never' or 'off', not 'x'\n",
    ) == cli("config", "show", SPANS="x")


def test_check_looks_at_the_environment_too(cli: Cli, tmp_path: Path) -> None:
    """With a file, or without one; a mistake of a variable is none of the file, and hides none."""
    code, output, _ = cli("check", MODE="obsrve", PROVIDER_OWN_PLAN="bigg")
    assert 1 == code
    assert "RESILIENCE_MODE: 'obsrve' is no mode (did you mean 'observe'?)" in output

    (tmp_path / "resilience.yaml").write_text("version: 1\nstore: 3\n")
    code, output, _ = cli("check", "resilience.yaml", STORE="memory://", MODE="")
    assert 1 == code
    assert "resilience.yaml:2:8: a store is a URL" in output
    assert "own" not in output

    (tmp_path / "resilience.yaml").unlink()
    code, output, _ = cli("check", PROVIDER_OWN_PLAN="", STORE="", NAMESPACE="a b")
    assert (1, True) == (code, "RESILIENCE_NAMESPACE: 'namespace' must be" in output)
    assert 0 == cli("check", NAMESPACE="")[0]


def test_check_says_mistakes_of_variables_in_json(cli: Cli) -> None:
    """Their line is 0."""
    code, output, _ = cli("check", "--json", "resilience.yaml", PROVIDER_OWN_PLAN="bigg")

    assert 1 == code
    assert [
        {"file": "RESILIENCE_PROVIDER_OWN_PLAN", "line": 0, "column": 0,
         "message": "own has no plan 'bigg'", "remedy": "did you mean 'big'?"}
    ] == json.loads(output)["problems"]  # fmt: skip


def test_a_word_for_all_layers_takes_the_place_of_modes_by_names(cli: Cli) -> None:
    """Their places in the file say nothing any more."""
    found = shown(cli, MODE="off")["settings"]["mode.limiter"]

    assert {"value": "off", "origin": {"kind": "environment", "variable": "RESILIENCE_MODE"}} == found


def test_what_somebody_has_said_is_shown_alone(cli: Cli) -> None:
    """Not what is so by itself; what is said for all providers stands once."""
    found = shown(cli, "--changed", REFUSALS="raise")

    assert ["policies", "shipped", "refusals", "mode.limiter"] == list(found["settings"])
    told = {name: list(settings) for name, settings in found["providers"].items()}
    assert {"anakin": [], "own": ["mode.breaker", "budgets.day"], "scrapio": ["off"]} == told
    # One layer's mode is not that of all.
    assert {"mode.limiter", "own.mode.breaker"} < rows(cli("config", "show", "--changed")[1]).keys()


def test_one_provider_is_shown_alone(cli: Cli) -> None:
    """With what is said for all of them, since it applies to this one; another name is no provider."""
    found = shown(cli, "--provider", "own", "--changed")

    assert ({}, ["own"]) == (found["settings"], list(found["providers"]))
    assert {"mode.limiter", "mode.breaker", "budgets.day"} < found["providers"]["own"].keys()
    code, _, complaints = cli("config", "show", "--provider", "anakyn")
    assert (2, "resilience: there is no provider 'anakyn' here; did you mean 'anakin'?\n") == (code, complaints)


def test_files_that_are_shipped_are_named_shortly(cli: Cli) -> None:
    """Where a package lies is long, and the same for all of them."""
    output = cli("config", "show")[1]

    found = rows(output)
    assert ("anakin.yaml", "policy anakin.yaml") == (
        found["anakin.policy"][0],
        found["anakin.hosts"][1].partition(":")[0],
    )
    assert max(map(len, output.splitlines())) <= 110
