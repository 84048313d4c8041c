"""What a test run says of all clients of its process, whatever their own configuration says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ._modes import LAYERS, Mode

if TYPE_CHECKING:
    from ._outcome import Exchange

__all__ = ["Override", "overridden"]


class Override:
    """`off`: every call goes to the client's own transport, untouched; `observe`: the layers only say what they would do."""

    mode: Literal["off", "observe"] | None = None


def overridden(exchange: Exchange | None) -> Exchange | None:
    """A call as the test run wants it, where it says something.

    Arguments:
        exchange: the call, before its first layer; `None` where no policy applies.
    """
    if Override.mode is None or exchange is None:
        return exchange
    exchange.settings = replace(exchange.settings, modes=dict.fromkeys(LAYERS, Mode.OBSERVE))
    return exchange
