"""The RateLimit and RateLimit-Policy fields are read as the draft says, and ignored when malformed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from resilience._ratelimit_fields import QuotaLeft, QuotaPolicy, parse_ratelimit, parse_ratelimit_policy, ratelimit

DRAFT: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "vectors" / "waiting.yaml").read_text("utf-8"))[
    "ietf-ratelimit"
]
COUNTS = st.integers(min_value=0, max_value=999_999_999_999_999)
TEXTS = st.text() | st.text(alphabet='"default;rtqwupk=0123456789-:?%@(), \\')


@pytest.mark.parametrize("case", DRAFT["limits"], ids=lambda case: case["value"])
def test_what_is_left_reads_as_the_draft_says(case: dict[str, Any]) -> None:
    """A RateLimit field is the list of its items, or nothing."""
    items = parse_ratelimit(case["value"])

    read = [
        {"policy": item.policy, "remaining": item.remaining}
        | ({} if item.reset is None else {"reset": item.reset})
        | ({} if item.partition is None else {"partition": item.partition.decode()})
        for item in items
    ]
    assert case["limits"] == read


@pytest.mark.parametrize("case", DRAFT["limits"], ids=lambda case: case["value"])
def test_a_used_up_quota_asks_for_its_reset(case: dict[str, Any]) -> None:
    """Only an item with nothing left and a reset asks for a wait."""
    assert case["wait"] == ratelimit(case["value"])


@pytest.mark.parametrize("case", DRAFT["policies"], ids=lambda case: case["value"])
def test_quota_policies_read_as_the_draft_says(case: dict[str, Any]) -> None:
    """A RateLimit-Policy field is the list of its policies; the unit is requests unless it says otherwise."""
    read = [(item.name, item.quota, item.window, item.unit) for item in parse_ratelimit_policy(case["value"])]

    assert [
        (item["name"], item["quota"], item["window"], item.get("unit", "requests")) for item in case["policies"]
    ] == read


def test_every_parameter_of_a_policy_is_read() -> None:
    """Quota, unit, window and partition key arrive as the provider wrote them; unknown parameters are passed over."""
    value = '"peruser";q=65535;qu="content-bytes";w=10;pk=:dHJpYWw=:;later=1'

    assert (QuotaPolicy("peruser", 65535, 10, "content-bytes", b"trial"),) == parse_ratelimit_policy(value)


def test_the_longest_of_the_used_up_quotas_counts() -> None:
    """A quota that is not used up, or says no reset, does not lengthen or shorten the wait."""
    assert 20.0 == ratelimit('"a";r=0;t=5, "b";r=0;t=20, "c";r=1;t=900, "d";r=0')


def test_nothing_used_up_asks_for_nothing() -> None:
    """A field whose quotas are all used up without a reset, or not used up, is no hint."""
    assert (None, None) == (ratelimit('"a";r=0'), ratelimit('"a";r=1;t=5'))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        '"a"',
        '"a";r',
        '"a";r=?1',
        '"a";r=1.0',
        '"a";r="1"',
        '"a";r=1;t',
        '"a";r=1;t=-1',
        '"a";r=1;t=1.5',
        '"a";r=1;pk="text"',
        '"a";r=1;pk',
        '"a";r=1;pk=:!:',
        '"a";r=1000000000000000',
        '"a";r=1,',
        '"a";r=1 "b";r=1',
        '("a" "b");r=1',
        '%"a";r=1',
        "7;r=1",
        ":YQ==:;r=1",
        '"é";r=1',
        '"a";r=1;t=@253402300800',
        '"good";r=0;t=5, bad;r=0',
        "limit=100, remaining=50, reset=5",
        "(" * 4000,
    ],
)
def test_a_malformed_field_is_ignored_as_a_whole(value: str) -> None:
    """One malformed item is enough for the draft's MUST: the field counts for nothing, its good items too."""
    assert ((), None) == (parse_ratelimit(value), ratelimit(value))


@pytest.mark.parametrize(
    "value",
    ['"a"', '"a";w=60', '"a";q=-1', '"a";q=1;w=0', '"a";q=1;w', '"a";q=1;qu=requests', '"a";q=1;pk=1', "a;q=1"],
)
def test_a_malformed_policy_field_is_ignored_as_a_whole(value: str) -> None:
    """The quota is required, the window is at least a second, the unit is a String and the key a Byte Sequence."""
    assert () == parse_ratelimit_policy(value)


def test_a_field_is_read_up_to_four_kibibytes() -> None:
    """A field of 4096 characters is read, and a longer one is not looked at."""
    longest = '"a";r=1;x="' + "x" * (4096 - 12) + '"'

    assert 4096 == len(longest)
    assert (QuotaLeft("a", 1),) == parse_ratelimit(longest)
    assert () == parse_ratelimit(longest + " ")


@given(value=TEXTS | st.none() | st.integers() | st.binary())
def test_no_field_raises(value: object) -> None:
    """Whatever stands in the field, it is read or ignored."""
    wait = ratelimit(value)

    assert wait is None or 0 <= wait < 10**15
    assert isinstance(parse_ratelimit_policy(value), tuple)


@given(left=st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=20))
def test_what_is_written_is_read(left: list[tuple[int, int]]) -> None:
    """Every item of a well-formed field arrives, in its order."""
    value = ", ".join(f'"p{number}";r={remaining};t={reset}' for number, (remaining, reset) in enumerate(left))

    expected = tuple(QuotaLeft(f"p{number}", remaining, reset) for number, (remaining, reset) in enumerate(left))
    assert expected == parse_ratelimit(value)
