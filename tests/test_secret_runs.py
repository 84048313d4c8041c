"""Secrets in what others say: whole, cut short, masked, and found in linear time whatever the text."""

from __future__ import annotations

import random
import time
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._secret_runs import runs_of, whole_runs_of, without

SECRET = "sk-live-Zq8vLw2tTr7PpL"


def clear(text: str, *secrets: str) -> str:
    return without(text, runs_of(text, secrets or (SECRET,)), "#")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("nothing", "nothing"),
        (SECRET, "#"),
        (f"{SECRET}{SECRET}", "#"),
        (f"{SECRET} {SECRET.upper()} {SECRET.lower()}", "# # #"),
        (f"{SECRET[:8]} {SECRET[:18]}", "# #"),
        (f"{SECRET[:7]} x", f"{SECRET[:7]} x"),
        (f"x{SECRET[:18]}...", "x#..."),
        (f"{SECRET[:12]}?{SECRET[:12]}", "#?#"),
        # Masked: the beginning, the end, both.
        (f"{SECRET[:12]}****{SECRET[-4:]}. You", "#. You"),
        (f"{SECRET[:8]}*{SECRET[-4:]}", "#"),
        (f"{SECRET[:6]}****", "#****"),
        (f"{SECRET[:5]}****", f"{SECRET[:5]}****"),
        (f"{SECRET[:6]}", f"{SECRET[:6]}"),
        (f"********{SECRET[-6:]}", "#"),
        (f"xxxx{SECRET[-4:].upper()}", "#"),
        (f"####{SECRET[-4:]}", "#"),
        (f"\u2022\u2022{SECRET[-4:]}", "#"),
        (f"{SECRET[:3]}[\u2026]{SECRET[-4:]}", "#"),
        (f"{SECRET[:3]}...{SECRET[-4:]}", "#"),
        (f"a...{SECRET[-4:]}", "a#"),
        (f"...{SECRET[-3:]}", f"...{SECRET[-3:]}"),
        (f"... {SECRET[-4:]}", f"... {SECRET[-4:]}"),
        (f"{SECRET[-4:]} ... word", f"{SECRET[-4:]} ... word"),
        ("wait... and see***", "wait... and see***"),
        # Letters that have no small one, or a long one.
        (f"\u0130\u00c4{SECRET}\u03a3", "\u0130\u00c4#\u03a3"),
    ],
)
def test_what_is_found(text: str, expected: str) -> None:
    """The beginning of a secret is enough, less of it where something is left out."""
    assert expected == clear(text)


def test_secrets_that_are_alike() -> None:
    """The one that agrees for longest is taken, and one within another goes with it."""
    assert "# #!" == clear(
        "abcdefgh-12345 abcdefgh-xyz!", "abcdefgh-xyz", "abcdefgh-12", "abcdefgh-12345", "abcdefgh-77"
    )
    for cut in ("abcdefgh-123.", "abcdefgh-mn.", "abcdefgh-xyz9.", "abcdefgh."):
        assert "#." == clear(cut, "abcdefgh-xyz98765", "abcdefgh-mnopqrs", "abcdefgh-12345678")
    assert "#" == clear("prefix-secret-1", "secret-1", "prefix-secret-1")
    assert "#" == clear("ababababababXYZ", "ababababXYZ")


@pytest.mark.parametrize("common", ["https://", "Bearer ", "Bearer  ", "postgres://"])
def test_what_all_secrets_begin_with_is_none(common: str) -> None:
    """A scheme tells no secret; so much of what follows it does."""
    secret = f"{common}me-and-you-and-them"

    assert f"{common}other" == clear(f"{common}other", secret)
    assert f"{common}me-and." == clear(f"{common}me-and.", secret)
    assert "#." == clear(f"{common}me-and-y.", secret)
    assert "#***" == clear(f"{common}me-and***", secret)


def test_a_mask_may_take_signs_of_the_secret_with_it() -> None:
    """Where it is made of the same."""
    assert "#" == clear("sk-....abc9", "sk-12345678.abc9")
    assert "#..." == clear("se.cr....", "se.cr.12345678")


def test_runs() -> None:
    """Those that touch or overlap are one."""
    assert "a#f" == without("abcdef", [(3, 5), (1, 3), (2, 4)], "#")
    assert "#b#" == without("abc", [(2, 3), (0, 1)], "#")
    assert [(0, 8), (9, 17)] == list(whole_runs_of("ABCDEFGH abcdefgh", ["abcdefgh"]))


secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=12, max_size=60)


@given(st.lists(secrets, min_size=1, max_size=5), st.text(max_size=30), st.text(max_size=30), st.data())
def test_no_secret_stays(given_secrets: list[str], before: str, after: str, data: st.DataObject) -> None:
    """Whole, or as much of it as begins it; nothing else goes where no secret stands."""
    secret = data.draw(st.sampled_from(given_secrets))
    text = f"{before}{secret}{after}"

    assert secret not in clear(text, *given_secrets)
    assert not set(secret) & set(clear(secret, *given_secrets)) - {"#"}


@lru_cache
def _hostile() -> dict[str, tuple[str, list[str]]]:
    chance = random.Random(7)

    def word(size: int) -> str:
        return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=size))

    size, many = 1024 * 1024, [word(40) for _ in range(200)]
    alike = [f"session_{word(40)}" for _ in range(200)]
    long = [f"session_{word(8000)}" for _ in range(200)]
    return {
        "beginnings": ("".join(each[:8] for each in many) * (size // 1600), many),
        "alike": ("session_" * (size // 8), alike),
        "long": ("session_" * (size // 8), long),
        "almost": (f"{long[0][:-1]}!" * (size // 8008), long),
        "one letter": ("a" * size, ["a" * count for count in range(12, 212)]),
        "two letters": ("ab" * (size // 2), ["ab" * count for count in range(6, 206)]),
        "masks": (f"*{many[0][-4:]}" * (size // 5), many),
        "mask": ("*" * size, many),
        "dots": (".." * (size // 2), ["." * 40, *many[1:]]),
        "x": ("xxx " * (size // 4), many),
        "other letters": ("\u03a3" * size, many),
    }


@pytest.mark.parametrize("kind", _hostile())
def test_a_hostile_text_takes_linear_time(kind: str) -> None:
    """A mebibyte and two hundred secrets: some seconds of a slow machine, and nothing quadratic."""
    text, given_secrets = _hostile()[kind]
    began = time.process_time()

    clear(text, *given_secrets)

    assert time.process_time() - began < 15
