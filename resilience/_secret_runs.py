"""Where a text quotes secrets: whole, cut short or masked, in capitals or not."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

__all__ = ["runs_of", "whole_runs_of", "without"]

Run = tuple[int, int]
"""Where a run begins and ends."""
# So much of its beginning is a quotation and no chance.
_BEGINNING = 8
# Where what is left out is marked, less will do: of the beginning, and of the end.
_MASKED_BEGINNING = 6
_MASKED_END = 4
_LONGEST_END = 256
# What does not tell one secret from another: `https://`, `Bearer `.
_COMMON = re.compile(r"\w{1,16}(?:://|\s+)")
_MASK = re.compile(r"[\[(<{]?(?:[*\u2022\u25cf\u2217\u2588\u2026]|\.{2,}|x{3,}|#{3,})+[\])>}]?")
_PLAIN_MASKS = ("*", "..", "xxx", "###")
_MASKS = (*_PLAIN_MASKS, *"\u2022\u25cf\u2217\u2588\u2026")
# A mask of full stops or of x may take one of the secret's own with it.
_MOST_TAKEN = 3
# Signs of secrets that are worth keeping in their order; a client has few of them, and short ones.
_MOST_KEPT = 4096


def without(text: str, runs: Iterable[Run], instead: str) -> str:
    """A text with something else in place of its runs.

    Arguments:
        text: any text.
        runs: in any order; those that touch are one.
        instead: what stands in the place of each.
    """
    found: list[list[int]] = []
    for start, end in sorted(runs):
        if found and start <= found[-1][1]:
            found[-1][1] = max(end, found[-1][1])
        else:
            found.append([start, end])
    parts: list[str] = []
    at = 0
    for start, end in found:
        parts += (text[at:start], instead)
        at = end
    return "".join((*parts, text[at:]))


def whole_runs_of(text: str, secrets: Iterable[str]) -> Iterator[Run]:
    """Where secrets stand as a whole, whatever the case of their letters."""
    folded = _folded(text)
    for secret in map(_folded, secrets):
        at = folded.find(secret)
        while at >= 0:
            yield at, at + len(secret)
            at = folded.find(secret, at + len(secret))


def runs_of(text: str, secrets: Sequence[str]) -> list[Run]:
    """Where secrets stand, and what begins as one does, for as long as it does.

    The time it takes is linear in the length of the text: no hostile one is looked at for long.

    Arguments:
        text: any text; it may be cut within a secret.
        secrets: none of them empty.
    """
    folded = _folded(text)
    groups = _kept_groups(tuple(secrets)) if sum(map(len, secrets)) <= _MOST_KEPT else _groups(secrets)
    is_masked = _has_one_of(folded, _PLAIN_MASKS if folded.isascii() else _MASKS)
    # What stands there whole, or is begun, has its beginning there; mostly there is none.
    if not is_masked and not _has_one_of(folded, groups):
        return []
    all_folded = [secret for group in groups.values() for secret in group]
    found = list(whole_runs_of(text, all_folded))
    for beginning, group in groups.items():
        at = folded.find(beginning)
        while at >= 0:
            end = at + max(_agreement(folded, at, secret, len(beginning)) for secret in _nearest(folded, at, group))
            found.append((at, end))
            at = folded.find(beginning, end)
    if is_masked:
        found += _masked(folded, _MASK.finditer(folded), all_folded)
    return found


def _has_one_of(text: str, parts: Iterable[str]) -> bool:
    for each in parts:  # noqa: SIM110  what every failure says is looked at, and a generator takes longer
        if each in text:
            return True
    return False


def _groups(secrets: Iterable[str]) -> dict[str, list[str]]:
    """Secrets in their order, by their beginnings."""
    groups: dict[str, list[str]] = {}
    for secret in sorted({_folded(secret) for secret in secrets}):
        groups.setdefault(secret[: _common(secret) + _BEGINNING], []).append(secret)
    return groups


# The calls of one client carry the same.
_kept_groups = lru_cache(64)(_groups)


def _folded(text: str) -> str:
    # Each sign is folded for itself: what is found stands where it stands in the text.
    return text.lower() if text.isascii() else "".join(map(_small, text))


def _small(sign: str) -> str:
    small = sign.lower()
    return small if len(small) == 1 else sign


def _common(secret: str) -> int:
    match = _COMMON.match(secret)
    return match.end() if match else 0


def _nearest(text: str, at: int, group: list[str]) -> list[str]:
    """Of secrets in their order the two that a text can agree with for longest."""
    if len(group) == 1:
        return group
    place = bisect_left(group, text[at : at + len(group[-1])])
    return group[max(place - 1, 0) : place + 1]


def _agreement(text: str, at: int, secret: str, known: int) -> int:
    """How many signs of a text are those of a secret, of which some are known to be."""
    step, is_growing = _BEGINNING, True
    while known < len(secret) and step:
        if text.startswith(piece := secret[known : known + step], at + known):
            known += len(piece)
        else:
            is_growing = False
        step = step * 2 if is_growing else step // 2
    return known


def _masked(text: str, masks: Iterable[re.Match[str]], secrets: Iterable[str]) -> Iterator[Run]:
    """What stands around masks: the beginning of a secret before one, and its end behind it."""
    beginnings: set[str] = set()
    ends: dict[str, dict[str, list[str]]] = {}
    for secret in secrets:
        least = _common(secret) + _MASKED_BEGINNING
        beginnings.update((secret[:least], secret[: least + 1]))
        for at in range(max(len(secret) - _LONGEST_END, 0), len(secret) - _MASKED_END + 1):
            end = secret[at:]
            ends.setdefault(end[:_MASKED_END], {}).setdefault(end, []).append(secret)
    lengths = sorted({*map(len, beginnings)}, reverse=True)
    for mask in masks:
        start, last = mask.span()
        for at in range(start, min(start + _MOST_TAKEN, last)):
            size = next((each for each in lengths if each <= at and text[at - each : at] in beginnings), 0)
            if size:
                yield at - size, at
                break
        for at in range(last, max(last - _MOST_TAKEN, start + 1) - 1, -1):
            fitting = [end for end in ends.get(text[at : at + _MASKED_END], ()) if text.startswith(end, at)]
            if fitting:
                end = max(fitting, key=len)
                yield (
                    start - max(_shared(text, start, secret) for secret in ends[end[:_MASKED_END]][end]),
                    at + len(end),
                )
                break


def _shared(text: str, end: int, secret: str) -> int:
    """How much of a secret's beginning stands right before a place."""
    sizes = range(min(_BEGINNING + _common(secret), end, len(secret)), 0, -1)
    return next((size for size in sizes if text.startswith(secret[:size], end - size)), 0)
