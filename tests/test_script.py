"""The language of scripts says what each request gets, and a mistake in it is shown where it stands."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._script import Rates, Script, Step, header_fault, parse_rates, parse_script
from resilience.errors import ConfigurationError

RULES = ("rate-limit", "outage", "429", "drop")
WORDS = ("429", "rate-limit", "rule", "success", "drop", "reset", "hang", "retry-after", "header", "body", "delay")
WORDS += ("trickle", "truncate", "*", "3", "...", ",", "\n", " ", "#", '"', "{", "}", "=", "10%", "1s", '"a"', "[1]")
HOSTILE = st.text() | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.sampled_from(["[" * 100_000])
DURATIONS = st.integers(min_value=0, max_value=86_400_000)
HEADERS = st.tuples(
    st.text(alphabet="abcXYZ-09_", min_size=1).map(lambda name: f"X{name}"),
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("429", Step(status=429)),
        ("200", Step(status=200)),
        ("599", Step(status=599)),
        ("outage", Step(rule="outage")),
        ("rule outage", Step(rule="outage")),
        ("rule 429", Step(rule="429")),
        ("rule drop", Step(rule="drop")),
        ('rule "outage"', Step(rule="outage")),
        ("success", Step()),
        ("drop", Step(fault="drop")),
        ("reset", Step(fault="reset")),
        ("hang 5s", Step(fault="drop", delay=5)),
        ("delay 1s hang 5s", Step(fault="drop", delay=6)),
        ("hang 5s delay 1s", Step(fault="drop", delay=6)),
        ("delay 1s reset", Step(fault="reset", delay=1)),
        ("truncate", Step(truncate=True)),
        ("truncate success", Step(truncate=True)),
        ("trickle 100ms", Step(trickle=0.1)),
        ("delay 2s", Step(delay=2)),
        ("429 retry-after 1", Step(status=429, headers=(("Retry-After", "1"),))),
        ("retry-after 1 429", Step(status=429, headers=(("Retry-After", "1"),))),
        ("429 retry-after 1 retry-after 2", Step(status=429, headers=(("Retry-After", "1"), ("Retry-After", "2")))),
        ('429 header X-A "b, c # d"', Step(status=429, headers=(("X-A", "b, c # d"),))),
        ('429 header X-A ""', Step(status=429, headers=(("X-A", ""),))),
        ('429 header X-A " b\\t"', Step(status=429, headers=(("X-A", "b"),))),
        ("429 header Allow *", Step(status=429, headers=(("Allow", "*"),))),
        ("429 header A b=c header D e", Step(status=429, headers=(("A", "b=c"), ("D", "e")))),
        ('503 body {"a": [1, 2], "#": "\\n"}', Step(status=503, body='{"a": [1, 2], "#": "\\n"}')),
        ('503 body {"a":\n 1} delay 1s', Step(status=503, body='{"a":\n 1}', delay=1)),
        ("body null", Step(body="null")),
        ('body "text"', Step(body='"text"')),
        (
            "rate-limit truncate trickle 10ms delay 1m30s",
            Step(rule="rate-limit", truncate=True, trickle=0.01, delay=90),
        ),
    ],
)
def test_a_step_says_what_a_request_gets(text: str, expected: Step) -> None:
    """Each word of the language changes the step as it says."""
    script = parse_script(text, RULES)

    assert (expected,) == tuple(Step(**{**_fields(step), "text": ""}) for step in script.steps)
    assert [text] == [step.text for step in script.steps]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n# nothing\n", []),
        ("429, 500,200", ["429", "500", "200"]),
        ("429\n500\r\n200\n", ["429", "500", "200"]),
        ("429,\n\n500,", ["429", "500"]),
        ("# first\n429 # then, later\n500", ["429", "500"]),
        ("429 retry-after 1# one second\n500", ["429 retry-after 1", "500"]),
    ],
)
def test_steps_are_separated_by_commas_and_lines(text: str, expected: list[str]) -> None:
    """Commas, new lines or both separate steps, and comments are left out."""
    script = parse_script(text)

    assert expected == [step.text for step in script.steps]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [None, None, None, None, None]),
        ("429, 500", [429, 500, None, None, None]),
        ("429, 500, ...", [429, 500, 500, 500, 500]),
        ("429, 500 ...", [429, 500, 500, 500, 500]),
        ("429\n500\n...\n# end", [429, 500, 500, 500, 500]),
        ("429*3, 500", [429, 429, 429, 500, None]),
        ("429 * 3, 500", [429, 429, 429, 500, None]),
        ("429 *1, 500 *2", [429, 500, 500, None, None]),
        ("429*2 ...", [429, 429, 429, 429, 429]),
    ],
)
def test_requests_get_the_steps_in_order(text: str, expected: list[int | None]) -> None:
    """One step for one request; `*3` for three, and `...` for all that follow."""
    script = parse_script(text)

    steps = [script.step(number) for number in range(5)]
    assert expected == [step.status if step else None for step in steps]


@given(st.lists(st.integers(min_value=1, max_value=4)), st.booleans(), st.integers(min_value=0, max_value=100))
def test_a_repeated_step_is_as_good_as_writing_it_often(times: list[int], repeats: bool, number: int) -> None:
    """A script with repetitions gives what the script without them gives."""
    script = Script(tuple(Step(status=200 + i, times=count) for i, count in enumerate(times)), repeats and bool(times))

    written = [step for step in script.steps for _ in range(step.times)]
    after = script.steps[-1] if script.repeats else None
    assert script.step(number) == (written[number] if number < len(written) else after)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("429, 42, 200", "script:1:6: step 2", "42 is no status"),
        ("199", "script:1:1: step 1", "199 is no status"),
        ("600", "script:1:1: step 1", "write one from 200 to 599"),
        ("9" * 5000, "script:1:1: step 1", "is no status"),
        ("429,,200", "script:1:5: step 2", "the step is empty"),
        (",429", "script:1:1: step 1", "the step is empty"),
        ("rate-limt", "script:1:1: step 1", "did you mean 'rate-limit'?"),
        ("429 retry-aftr 1", "script:1:5: step 1", "did you mean 'retry-after'?"),
        ("DROP", "script:1:1: step 1", "did you mean 'drop'?"),
        ("qqqq", "script:1:1: step 1", "the rules are rate-limit, outage, 429, drop"),
        ("qqqq", "script:1:1: step 1", "a step is a status, the name of a rule, or one of success, rule, drop"),
        ("200\nrule nothing-like-it", "script:2:6: step 2", "'nothing-like-it' is neither a word"),
        ("rule", "script:1:5: step 1", "'rule' takes the name of a rule"),
        ("429 500", "script:1:5: step 1", "'500' comes after '429'"),
        ("429 drop", "script:1:5: step 1", "'drop' comes after '429'"),
        ("delay 1s delay 1s", "script:1:10: step 1", "'delay' comes after 'delay'"),
        ("429 *0", "script:1:5: step 1", "'*' takes the number of requests"),
        ("429 *1000001", "script:1:5: step 1", "'*' takes the number of requests"),
        ("429 *", "script:1:5: step 1", "'*' takes the number of requests"),
        ("429 *3x", "script:1:5: step 1", "'*' takes the number of requests"),
        ("429 *3 delay 1s", "script:1:8: step 1", "'d' stands where the step should end"),
        ("429 {}", "script:1:5: step 1", "'{' stands where the step should end"),
        ('"429"', "script:1:1: step 1", "a step cannot begin with '\"'"),
        ("*3", "script:1:1: step 1", "a step cannot begin with '*'"),
        ("=", "script:1:1: step 1", "a step cannot begin with '='"),
        ("...", "script:1:1: step 1", "there is no step before '...'"),
        ("429, ..., 500", "script:1:9: step 2", "something follows '...'"),
        ("429 ... 500", "script:1:9: step 2", "something follows '...'"),
        ("hang", "script:1:5: step 1", "'hang' takes a duration"),
        ("hang 5", "script:1:6: step 1", "'5' is not a duration"),
        ("delay 5min", "script:1:7: step 1", "'5min' is not a duration"),
        ("429 retry-after, 200", "script:1:16: step 1", "'Retry-After' takes a value"),
        ("header", "script:1:7: step 1", "'header' takes a name and a value"),
        ("header X-A", "script:1:11: step 1", "'X-A' takes a value"),
        ('header "X A" b', "script:1:8: step 1", "'X A' is no name of a header"),
        ('header X-A "b\\nX-B: c"', "script:1:8: step 1", "the value of X-A has characters that no header can carry"),
        ('header X-A "\u20ac"', "script:1:8: step 1", "the value of X-A has characters that no header can carry"),
        ("header Content-Length 5", "script:1:8: step 1", "Content-Length is written by the server"),
        ("header transfer-encoding x", "script:1:8: step 1", "use 'truncate' for a wrong length"),
        ('header X-A "b', "script:1:12: step 1", "this is no JSON"),
        ('200,\nbody {"a": b}', "script:2:12: step 2", "this is no JSON: Expecting value"),
        ("body", "script:1:5: step 1", "this is no JSON"),
        ("body NaN", "script:1:6: step 1", "NaN is no number in JSON"),
        ("body " + "[" * 100_000, "script:1:6: step 1", "this is no JSON that can be read"),
        ("body " + "9" * 5000, "script:1:6: step 1", "this is no JSON that can be read"),
        ("200, drop retry-after 1", "script:1:6: step 2", "'drop' answers nothing"),
        ("reset body {}", "script:1:1: step 1", "'reset' answers nothing"),
        ("hang 1s truncate", "script:1:1: step 1", "'hang' answers nothing"),
        ("trickle 1s drop", "script:1:1: step 1", "'drop' answers nothing"),
    ],
)
def test_a_mistake_is_shown_where_it_stands(text: str, place: str, message: str) -> None:
    """A script that cannot be read names line, column and step, what is wrong, and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        parse_script(text, RULES)

    assert str(caught.value).startswith(f"{place}: ")
    assert message in str(caught.value)


def test_a_rule_is_known_only_by_its_name() -> None:
    """Without the names of rules, no word stands for one."""
    with pytest.raises(ConfigurationError, match="'rate-limit' is neither a word") as caught:
        parse_script("rate-limit")

    assert "the rules are" not in str(caught.value)


@given(HOSTILE)
def test_no_text_brings_the_parsers_out_of_step(text: str) -> None:
    """Whatever the text, it is read or refused with a place inside of it."""
    for name, parse in (("script", parse_script), ("rates", parse_rates)):
        try:
            parse(text, RULES)
        except ConfigurationError as error:
            place = re.match(rf"{name}:(\d+):(\d+): step \d+: .* \(", str(error), re.DOTALL)
            assert place
            lines = text.split("\n")
            assert int(place[1]) <= len(lines)
            assert int(place[2]) <= len(lines[int(place[1]) - 1]) + 1


@given(st.integers(200, 599), st.lists(HEADERS), DURATIONS, st.none() | st.text() | st.lists(st.integers()))
def test_what_is_written_is_read(status: int, headers: list[tuple[str, str]], delay: int, body: object) -> None:
    """Whatever stands in quotes or in a body comes out as it was put in."""
    words = [f"header {name} {json.dumps(value)}" for name, value in headers]
    words += [f"delay {delay}ms", str(status), f"body {json.dumps(body)}"]

    (step,) = parse_script(" ".join(words)).steps

    stripped = tuple((name, value.strip(" \t")) for name, value in headers)
    assert (status, stripped, json.dumps(body)) == (step.status, step.headers, step.body)
    assert pytest.approx(delay / 1000) == step.delay


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("429=10%, 500=5%", [("429", 0.1), ("500", 0.05)]),
        ("429 = 10%", [("429", 0.1)]),
        ("rate-limit=0.5% # rare\ndrop=99.5%,", [("rate-limit", 0.005), ("drop", 0.995)]),
        ("429 retry-after 1=10%", [("429 retry-after 1", 0.1)]),
        ('503 body {"a": "="} header X "a=b"=1%', [('503 body {"a": "="} header X "a=b"', 0.01)]),
        ("429=100%", [("429", 1.0)]),
        ("429=0%", [("429", 0.0)]),
        ("429=20%, 500=40%, 502=30%, 503=10%", [("429", 0.2), ("500", 0.4), ("502", 0.3), ("503", 0.1)]),
    ],
)
def test_rates_are_steps_with_shares(text: str, expected: list[tuple[str, float]]) -> None:
    """Each step of the rates has its share of the requests."""
    rates = parse_rates(text, RULES)

    assert expected == [(step.text, pytest.approx(share)) for step, share in rates.shares]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("429", "rates:1:4: step 1", "'429' has no share"),
        ("429=1%, 500", "rates:1:12: step 2", "'500' has no share"),
        ("429=", "rates:1:5: step 1", "this is no share"),
        ("429=10", "rates:1:5: step 1", "this is no share"),
        ("429=-1%", "rates:1:5: step 1", "this is no share"),
        ("429=100.1%", "rates:1:5: step 1", "this is no share"),
        ("429=nan%", "rates:1:5: step 1", "this is no share"),
        ("429=60%, 500=60%", "rates:1:14: step 2", "the shares are more than 100% together"),
        ("429=5%x", "rates:1:7: step 1", "'x' stands where the step should end"),
        ("429 *3=10%", "rates:1:5: step 1", "'429' has no share"),
        ("429=10%, ...", "rates:1:10: step 2", "a step cannot begin with '.'"),
        ("429=1%,,", "rates:1:8: step 2", "the step is empty"),
        ("429 header X a=b=1%", "rates:1:16: step 1", "this is no share"),
    ],
)
def test_a_mistake_in_rates_is_shown_where_it_stands(text: str, place: str, message: str) -> None:
    """Rates that cannot be read name line, column and step, and what is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        parse_rates(text, RULES)

    assert str(caught.value).startswith(f"{place}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("chance", "expected"),
    [(0.0, 429), (0.2499, 429), (0.25, 500), (0.7499, 500), (0.75, None), (0.9999, None)],
)
def test_chance_chooses_by_the_shares(chance: float, expected: int | None) -> None:
    """The first share of all chances gets the first step, the next one the second, the rest none."""
    rates = Rates(((Step(status=429), 0.25), (Step(status=500), 0.5)))

    step = rates.step(chance)

    assert expected == (step.status if step else None)


def test_no_rates_choose_nothing() -> None:
    """Without rates no request gets a step by chance."""
    assert Rates().step(0.0) is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("X-A", "b", None),
        ("X-A", "", None),
        ("X-A", "a\tb c", None),
        ("X-A", "\xe9", None),
        ("", "b", "'' is no name of a header"),
        ("X A", "b", "'X A' is no name of a header"),
        ("X-A\n", "b", "'X-A\\n' is no name of a header"),
        ("X-\xe9", "b", "'X-\xe9' is no name of a header"),
        ("X-A", "a\r\nX-B: c", "the value of X-A has characters that no header can carry"),
        ("X-A", "a\n", "the value of X-A has characters that no header can carry"),
        ("X-A", "\x7f", "the value of X-A has characters that no header can carry"),
        ("X-A", "\u20ac", "the value of X-A has characters that no header can carry"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(name: str, value: str, expected: str | None) -> None:
    """A name or a value that would break the framing of an answer has a fault."""
    assert expected == header_fault(name, value)


def _fields(step: Step) -> dict[str, object]:
    return {name: getattr(step, name) for name in Step.__dataclass_fields__}
