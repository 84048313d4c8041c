"""The benchmarks' own arithmetic: which blocks count, what a figure says of a target, what the command line says."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from benchmarks import __main__ as command
from benchmarks._blocks import BARE, CONTROL, Block, Plan, Ratios, TooBusy, plan
from benchmarks._figures import Figure, notch, quartiles, ratio_figure
from benchmarks._page import faster, page
from benchmarks._processes import Failed, elsewhere
from benchmarks._report import Run, as_json, figures_from
from benchmarks._section import measured
from benchmarks._targets import TARGETS, Target, judge
from benchmarks._worlds import World
from benchmarks.sections import overhead
from benchmarks.sections.limiter import inversions, most_within

MACHINE = {
    "date": "2026-11-21",
    "processor": "one",
    "system": "Linux",
    "python": "CPython",
    "packages": "httpx",
    "load": "",
}


def answered(asked: Plan, *, costs: dict[str, float], busy: int = 0, drift: float = 0.0) -> Ratios:
    """Run a plan on a machine whose calls cost so much: in every `busy`-th block twice, and each block more by `drift`."""
    number, speed = 0, 1.0
    answer: Block | None = None
    while True:
        try:
            name, calls = asked.send(answer) if answer is not None else next(asked)
        except StopIteration as ended:
            return cast("Ratios", ended.value)
        number += 1
        speed *= 1 + drift
        wall = processor = costs[name] * calls * speed
        if busy and number % busy == 0:
            wall *= 2
            processor *= 1.5
        answer = Block(calls, wall, processor)


def figure(value: float | None, *, noise: float = 0.0, row: str = "openai", unit: str = "x") -> Figure:
    """A figure of the section `overhead`."""
    return Figure(section="overhead", row=row, column="httpx sync", value=value, noise=noise, unit=unit)


def target(limit: float, *, at_least: bool = False) -> Target:
    """A target for that figure."""
    return Target(section="overhead", row="openai", column="httpx sync", limit=limit, at_least=at_least)


def test_a_ratio_is_that_of_the_costs() -> None:
    """On a quiet machine each ratio is the cost of a call over that of a bare one, and the control's is 1."""
    ratios = answered(plan(["ours"], wanted=10), costs={BARE: 1e-4, "ours": 1.2e-4})

    assert ratios.of["ours"] == pytest.approx([1.2] * 10)
    assert ratios.of[CONTROL] == pytest.approx([1.0] * 10)
    assert ratios.bare == pytest.approx(1e-4)


def test_a_machine_that_slows_down_changes_no_ratio() -> None:
    """Each block is compared with the mean of its two neighbours, so that a slow change cancels out."""
    ratios = answered(plan(["ours"], wanted=10), costs={BARE: 1e-4, "ours": 1.2e-4}, drift=0.02)

    assert ratios.of["ours"] == pytest.approx([1.2] * 10, rel=1e-3)


def test_a_block_that_was_interrupted_does_not_count() -> None:
    """Where every seventh block takes half as much more, the ratios are still those of the others."""
    ratios = answered(plan(["ours"], wanted=12), costs={BARE: 1e-4, "ours": 1.2e-4}, busy=7)

    assert ratios.of["ours"] == pytest.approx([1.2] * len(ratios.of["ours"]))


def test_a_machine_that_is_always_busy_gives_no_figure() -> None:
    """Where no two neighbours agree, nothing is said, and that is said."""
    asked = plan(["ours"], wanted=10)

    with pytest.raises(TooBusy, match="too busy"):
        answered(asked, costs={BARE: 1e-4, "ours": 1.2e-4}, drift=0.2)


def test_a_contender_that_waits_is_named_and_not_measured() -> None:
    """The processor's time says nothing of a call that sleeps."""
    ratios = answered(plan(["ours", "sleeper"], wanted=10), costs={BARE: 1e-4, "ours": 1e-4, "sleeper": 0.5})

    assert list(ratios.of) == ["ours", CONTROL]
    assert ratios.reasons == {"sleeper": "a call waits 0.5 s"}


def test_quartiles_and_notch() -> None:
    """The notch of a median is 1.57 times the quartiles' distance over the root of how many there are."""
    values = [1.0, 2.0, 3.0, 4.0, 5.0]

    assert quartiles(values) == (2.0, 3.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)
    assert notch(values) == pytest.approx(1.57 * 2 / math.sqrt(5))


def test_the_noise_of_a_figure_is_what_a_bare_call_differs_from_itself() -> None:
    """A control that is 5 % off makes every ratio of its process 5 % uncertain."""
    found = ratio_figure("overhead", "openai", "httpx sync", [2.0] * 5, [1.05] * 5)

    assert found.value == 2.0
    assert found.noise == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("value", "noise", "at_least", "verdict"),
    [
        (1.08, 0.0, False, "met"),
        (1.10, 0.03, False, "within the noise"),
        (1.20, 0.03, False, "missed"),
        (1.20, 0.0, True, "met"),
        (1.07, 0.03, True, "within the noise"),
        (1.00, 0.03, True, "missed"),
        (None, 0.0, False, "not measured"),
    ],
)
def test_a_target_is_missed_only_by_more_than_the_noise(
    value: float | None, noise: float, at_least: bool, verdict: str
) -> None:
    """A figure beyond its limit by less than the noise of the run says nothing."""
    assert target(1.08, at_least=at_least).verdict(figure(value, noise=noise)) == verdict


def test_a_quick_run_is_held_to_the_worse_of_promise_and_record() -> None:
    """A regression by half fails; a promise that is not kept yet does not."""
    floors = {("overhead", "openai", "httpx sync"): 2.0}

    assert target(1.08).loose(None).limit == pytest.approx(1.62)
    assert target(1.08).loose(2.0).limit == pytest.approx(3.0)
    assert target(2.0, at_least=True).loose(1.5).limit == pytest.approx(1.0)
    assert [each.verdict for each in judge([target(1.08)], [figure(2.9)], floors)] == ["met"]
    assert [each.verdict for each in judge([target(1.08)], [figure(3.1)], floors)] == ["missed"]


def test_what_is_not_promised_is_held_to_the_record_alone() -> None:
    """Such a target is none of a full run, nor of a quick one without a record; a promise of none at all stays one."""
    unpromised = replace(target(0), is_promise=False)

    assert judge([unpromised], [figure(2.0)]) == []
    assert judge([unpromised], [figure(2.0)], {}) == []
    assert [each.verdict for each in judge([unpromised], [figure(2.0)], {unpromised.key: 1.5})] == ["met"]
    assert [each.verdict for each in judge([target(0)], [figure(2.0)])] == ["missed"]


def test_every_target_is_there_once_and_of_a_section() -> None:
    """A target of no section would never be measured."""
    keys = [each.key for each in TARGETS]

    assert len(keys) == len(set(keys))
    assert {each.section for each in TARGETS} == set(command.SECTIONS)


def test_the_command_line_names_sections() -> None:
    """Without any all run, or what a quick run has time for."""
    assert command.parsed([]).sections == list(command.SECTIONS)
    assert command.parsed(["limiter", "--quick"]).sections == ["limiter"]
    assert set(command.SECTIONS) - set(command.parsed(["--quick"]).sections) == {"telemetry", "limiter"}


@pytest.mark.parametrize("arguments", [["rety"], ["--page", "--quick"], ["--page", "retry"]])
def test_the_command_line_refuses_what_cannot_be(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A section that is none, and a page of a part."""
    with pytest.raises(SystemExit):
        command.parsed(arguments)

    assert ("there is no section 'rety'" if arguments == ["rety"] else "whole run") in capsys.readouterr().err


def test_a_run_is_read_back_as_it_was_written() -> None:
    """Also figures without a value, and without quartiles."""
    figures = [figure(2.0, noise=0.1), figure(None, row="httpware", unit="KiB")]

    written = json.loads(json.dumps(as_json(Run(figures, judge([target(1.08)], figures), MACHINE))))

    assert written["targets"][0]["verdict"] == "missed"
    assert [each.key for each in figures_from(written)] == [each.key for each in figures]
    assert figures_from(written)[1].value is None
    assert math.isnan(figures_from(written)[0].low)


def test_a_peer_that_is_faster_is_told() -> None:
    """By more than the noise, in words that say what it does."""
    figures = [figure(2.0, noise=0.1), figure(1.02, row="httpx-retries"), figure(1.95, row="stamina")]

    assert faster(figures) == ["overhead: httpx-retries (retries alone): httpx sync 1.02 beside our 2.00"]


def test_the_page_tells_verdicts_reasons_and_the_machine() -> None:
    """Nothing that was missed or could not be measured is left out."""
    figures = [
        figure(2.0),
        Figure(section="overhead", row="httpware", column="httpx sync", reason="is for httpx2 alone"),
    ]

    text = page(Run(figures, judge([target(1.08)], figures), MACHINE), "picture.svg")

    assert "| missed |" in text
    assert "* –: httpware (httpx sync): is for httpx2 alone" in text
    assert "Measured on 2026-11-21: one; Linux; CPython" in text


def test_what_exceeds_a_rate_is_counted_from_every_call_on() -> None:
    """Windows slide, and what passes out of turn is counted once."""
    assert most_within([0.0, 0.4, 0.9, 1.0, 1.5], 1.0) == [3, 3, 3, 2, 1]
    assert inversions([0, 2, 1, 3]) == 1


@pytest.mark.parametrize("world", [World("httpx", "sync"), World("httpx2", "asyncio"), World("httpx", "trio")])
def test_a_world_is_measured(world: World) -> None:
    """A tiny run: a call that does the same twice costs about twice as much, and what raises has its reason."""
    get = world.client(world.lean(overhead.OURS["openai"][1])()).get
    url = overhead.OURS["openai"][0]

    def broken() -> None:
        raise LookupError("no such package")

    def twice() -> object:
        def both() -> None:
            get(url)
            get(url)

        async def both_async() -> None:
            await get(url)
            await get(url)

        return both if world.is_sync else both_async

    found = measured(world, lambda: get(url), {"twice": twice, "broken": broken}, 5)

    assert found["reasons"].get("broken") == "LookupError: no such package"
    # A machine may be too busy for anything to be said.
    for ratio in found["ratios"].get("twice", ())[:1]:
        assert ratio > 1.2


def test_ours_calls_through_all_layers_in_every_world() -> None:
    """What is measured as ours has a trail, and its answer is the transport's."""
    for world in overhead.WORLDS:
        response = world.tried(overhead.ours_call(world, "openai"))

        assert response.status_code == 200
        assert response.extensions["resilience"].provider == "openai"


def test_a_function_runs_in_a_process_of_its_own() -> None:
    """It gives what it returned, or the last words of what it raised."""
    assert elsewhere("json:loads", s="[1, 2]") == [1, 2]
    with pytest.raises(Failed, match="JSONDecodeError"):
        elsewhere("json:loads", s="[1, 2")


def test_what_a_run_found_is_shown_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a run that was kept: the table, and exit code 1 because a target is missed."""
    figures = [figure(2.0)]
    kept = tmp_path / "run.json"
    kept.write_text(json.dumps(as_json(Run(figures, judge([target(1.08)], figures), MACHINE))))

    code = command.main(["overhead", "--from", str(kept)])

    assert code == 1
    assert "missed" in capsys.readouterr().out
    assert "matplotlib" not in sys.modules
