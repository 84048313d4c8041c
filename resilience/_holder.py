"""What a response stream may hold until it is over: a permit, the reservation of a call's cost."""

from __future__ import annotations

import itertools
import os
from typing import Protocol

from ._clock import RealClock

__all__ = ["Holder", "new_name"]

# Unique among all processes that share a store: this one's token, its number (a fork has the token too), a counter.
_token = RealClock().key()[-12:]
_numbers = itertools.count(1)


def new_name() -> str:
    """A name for a call that no other call has, in whichever process."""
    return f"{_token}.{os.getpid():x}.{next(_numbers):x}"


class Holder(Protocol):
    """What a stream may hold."""

    @property
    def renew_at(self) -> float:
        """When it has to be renewed, should the body still be read then; by the runtime's clock."""
        ...

    def renew(self) -> None:
        """The body is still read, and something that is held had to be renewed."""
        ...

    def ended(self) -> None:
        """The body was read to its end."""
        ...

    def broke(self, error: BaseException, /) -> None:
        """Reading the body failed, or was cancelled: after that nothing more comes."""
        ...

    def release(self) -> None:
        """The stream was closed. It may have ended before."""
        ...

    def abandon(self) -> None:
        """Nobody has closed the stream, and the garbage collector came."""
        ...
