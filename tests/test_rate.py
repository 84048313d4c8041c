"""Rates are written and read as limits writes and reads them."""

from __future__ import annotations

import limits
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resilience._rate import Rate, RateField, parse_rate

UNITS = ["second", "minute", "hour", "day", "month", "year"]
SPACES = st.sampled_from(["", " ", "  ", "\t"])
FIELD: TypeAdapter[Rate] = TypeAdapter(RateField)


@st.composite
def rates(draw: st.DrawFn) -> str:
    """Texts of rates in every spelling."""
    amount = draw(st.integers(0, 10**9))
    multiples = draw(st.just("") | st.integers(0, 10**6).map(str))
    unit = draw(st.sampled_from(UNITS)) + draw(st.sampled_from(["", "s"]))
    parts = [
        str(amount),
        draw(st.sampled_from(["/", "per", "PER"])),
        multiples,
        draw(st.sampled_from([unit, unit.title()])),
    ]
    return draw(SPACES) + "".join(part + draw(SPACES) for part in parts)


def theirs(text: str) -> tuple[int, int] | None:
    try:
        rate = limits.parse(text)
    except ValueError:
        return None
    return rate.amount, rate.get_expiry()


def ours(text: str) -> tuple[int, float] | None:
    try:
        return parse_rate(text)[:2]
    except ValueError:
        return None


@given(rates())
def test_a_rate_means_what_it_means_to_limits(text: str) -> None:
    """However it is spelled; a rate of nothing, or of very many digits, is none."""
    read = theirs(text)
    assert read is not None

    zero = not read[0] or any(
        part.isdecimal() and not int(part) for part in text.lower().replace("per", "/").split("/")
    )
    words = text.lower().replace("per", "/").partition("/")[2].split()
    digits = "".join(each for each in "".join(words) if each.isdecimal())
    if zero or (digits and (not int(digits) or len(digits) > 6)) or read[0] >= 10**9:
        assert ours(text) is None
    else:
        assert read == ours(text)


@given(st.text(max_size=70) | st.text(alphabet="0123456789/ per2secondminutehy;,|:\n", max_size=30))
@example("10/second;5/minute")
@example("1/fortnight")
@example("10/second\n")
@example("٣/second")
@example("1" * 5000 + "/second")
def test_what_limits_refuses_is_refused(text: str) -> None:
    """And what is accepted means the same; several rates at once are several limits."""
    read = ours(text)

    assert read is None or read == theirs(text)


@given(rates())
def test_a_rate_is_written_as_it_is_read(text: str) -> None:
    """Its own text gives the same rate."""
    if ours(text) is not None:
        rate = parse_rate(text)
        assert rate == parse_rate(str(rate))
        assert rate == FIELD.validate_python(FIELD.dump_python(rate))
        assert rate == FIELD.validate_python(rate)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10/second", "10/second"),
        (" 60 per Minute ", "60/minute"),
        ("1000/2 hours", "1000/2 hours"),
        ("5 per 1 days", "5/day"),
    ],
)
def test_a_rate_is_written_in_one_way(text: str, expected: str) -> None:
    """Whatever the spelling in the file."""
    assert expected == str(parse_rate(text))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fast", "'fast' is not a rate; write 10/second, 60 per minute, 1000/2 hours"),
        ("0/second", "'0/second' lets nothing through; leave the limit out, or switch the provider off"),
        ("5/0 seconds", "'5/0 seconds' lets nothing through"),
        (10, "'10' is not a rate"),
        ("1/second" + " " * 60, "is not a rate"),
    ],
)
def test_what_is_no_rate_is_told_with_an_example(value: object, message: str) -> None:
    """In a policy file too."""
    with pytest.raises(ValidationError) as caught:
        FIELD.validate_python(value)

    assert message in caught.value.errors()[0]["msg"]
