"""An attempt that is sent before the layers are asked, and what they need to go on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._raised import raise_again

if TYPE_CHECKING:
    from ._breaker_hearing import Admission
    from ._library import Response
    from ._outcome import Verdict
    from ._permit import Permit

__all__ = ["Sent"]


class Sent:
    """An attempt on the short cut: how it is sent, and what comes of it, should the layers have to look at that.

    Arguments:
        times: when the call began and when it was sent, by the runtime's clock.
        admission: what the breaker has let it through with; `None` without a breaker.
        permit: what the call holds; `None` where nothing limits how many are in flight.
    """

    __slots__ = ("admission", "error", "permit", "response", "times", "verdict")

    def __init__(self, times: tuple[float, float], admission: Admission | None, permit: Permit | None = None) -> None:
        self.times = times
        self.admission = admission
        self.permit = permit
        self.verdict: Verdict | None = None
        """What the answer means, if it was looked at."""
        self.response: Response | None = None
        """The answer."""
        self.error: BaseException | None = None
        """What was raised instead."""

    def bring(self, came: Response | BaseException) -> None:
        """It has come: the answer, or what was raised instead."""
        if isinstance(came, BaseException):
            self.error = came
        else:
            self.response = came

    def give_back(self) -> None:
        """Hold nothing for a call that has ended before the layers took it over; nothing is given back twice."""
        if self.permit is not None:
            self.permit.release()

    def take(self) -> Response:
        """The answer; or the error is raised, and held here no more."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise_again(error)
            finally:
                # Its traceback holds this frame, which must not hold it in turn.
                del error
        response, self.response = self.response, None
        assert response is not None
        return response
