"""What one call says for itself is honoured or refused, never ignored."""

from __future__ import annotations

import types
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience._options import CallOptions, read_options
from resilience.errors import ConfigurationError


def read(**options: Any) -> CallOptions:
    return read_options({"resilience": options})


@pytest.mark.parametrize("extensions", [{}, {"timeout": {}}, {"resilience": None}])
def test_without_options_there_are_the_defaults(extensions: dict[str, Any]) -> None:
    """Other extensions are none of ours."""
    assert CallOptions() == read_options(extensions)


def test_every_option_is_read() -> None:
    """Any mapping will do, and None stands for what is not given."""
    given = {
        "off": True,
        "deadline": 20,
        "attempt_timeout": 2.5,
        "max_attempts": 20,
        "repeatable": False,
        "idempotency_key": "k-1",
        "operation": "search",
    }

    assert CallOptions(**given) == read_options({"resilience": types.MappingProxyType(given)})
    assert CallOptions(deadline=0.001) == read(deadline=0.001, operation=None, max_attempts=None)


def test_a_whole_number_is_a_tag_too() -> None:
    """It counts as its text; what is neither is refused."""
    assert {"job": "7", "tenant": "acme"} == read(tags={"job": 7, "tenant": "acme"}).tags
    with pytest.raises(ConfigurationError, match="it takes a text of 1 to 200 characters, or a whole number"):
        read(tags={"job": True})


@pytest.mark.parametrize("given", ["off", True, 7, ["off"], object])
def test_options_are_a_mapping(given: object) -> None:
    """Anything else is a mistake of the program."""
    with pytest.raises(ConfigurationError, match="is a mapping of options, not"):
        read_options({"resilience": given})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("deadlne", "did you mean 'deadline'?"),
        (
            "retries",
            "there are: attempt_timeout, cost, credits, deadline, idempotency_key, max_attempts, off, operation, repeatable, tags",
        ),
        (7, "there are: attempt_timeout"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one(name: object, hint: str) -> None:
    """A slip of the pen is not silently nothing."""
    with pytest.raises(ConfigurationError) as caught:
        read_options({"resilience": {name: 1}})

    assert f"unknown option {name!r}" in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("off", 1, "it takes True or False"),
        ("off", "yes", "it takes True or False"),
        ("repeatable", 0, "it takes True or False"),
        ("deadline", "20s", "it takes a number of seconds"),
        ("deadline", True, "it takes a number of seconds"),
        ("deadline", -1, "it is from 0.001 to 31622400"),
        ("deadline", 0, "it is from 0.001 to"),
        ("deadline", float("nan"), "it is from 0.001 to"),
        ("deadline", float("inf"), "it is from 0.001 to"),
        ("attempt_timeout", 366 * 86400 + 1, "it is from 0.001 to"),
        ("max_attempts", 2.0, "it takes a whole number"),
        ("max_attempts", True, "it takes a whole number"),
        ("max_attempts", 0, "it is from 1 to 20"),
        ("max_attempts", 21, "it is from 1 to 20"),
        ("operation", 7, "it takes a text"),
        ("idempotency_key", b"k", "it takes a text"),
        ("idempotency_key", "", "takes 1 to 255 visible ASCII characters"),
        ("idempotency_key", "a b", "takes 1 to 255 visible ASCII characters"),
        ("idempotency_key", "a\r\nX: y", "takes 1 to 255 visible ASCII characters"),
        ("idempotency_key", "ü", "takes 1 to 255 visible ASCII characters"),
        ("idempotency_key", "k" * 256, "takes 1 to 255 visible ASCII characters"),
    ],
)
def test_a_value_that_cannot_be_honoured_is_refused(name: str, value: object, message: str) -> None:
    """The message names the option and what it takes."""
    with pytest.raises(ConfigurationError) as caught:
        read(**{name: value})

    assert f"{name} in extensions['resilience']" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["off", "deadline", "max_attempts", "operation", "cost", "credits"])
def test_a_number_that_python_does_not_write_is_refused_as_any_other(name: str) -> None:
    """By the error that whoever catches mistakes of options expects."""
    with pytest.raises(ConfigurationError, match=f"^{name} in extensions.*is a number of very many digits"):
        read(**{name: 10**5000})


@pytest.mark.parametrize("attempt_timeout", [5, 6.0])
def test_an_attempt_must_be_shorter_than_its_call(attempt_timeout: float) -> None:
    """Or no second one would fit."""
    with pytest.raises(ConfigurationError, match="is not shorter than deadline: no second attempt would fit"):
        read(deadline=5, attempt_timeout=attempt_timeout)


@pytest.mark.parametrize("key", ["!", "~" * 255, 'a"b'])
def test_a_visible_key_is_taken(key: str) -> None:
    """Whatever can stand in a header."""
    assert key == read(idempotency_key=key).idempotency_key


def test_what_names_a_provider_stays_with_it() -> None:
    """For another provider the rest still holds."""
    options = read(operation="search", idempotency_key="k", deadline=5)

    assert (True, True, False) == tuple(
        each.names_provider for each in (options, read(idempotency_key="k"), options.elsewhere())
    )
    assert CallOptions(deadline=5) == options.elsewhere()


@example(options={"credits": "0"})
@example(options={"credits": 0.1})
@given(
    options=st.dictionaries(
        st.sampled_from([*CallOptions.__dataclass_fields__, "x"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    )
)
def test_no_options_break_the_reader(options: dict[str, Any]) -> None:
    """They are honoured as they are, or refused."""
    try:
        found = read_options({"resilience": options})
    except ConfigurationError:
        return

    # An amount may be written in three ways, and is the same number.
    if options.get("credits") is not None:
        options["credits"] = Decimal(str(options["credits"]))
    assert options == {name: getattr(found, name) for name in options}
