"""A client's cookies that look only at answers which set some, as those of httpx2 do."""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ._library import Library, Response

__all__ = ["Quick", "quick"]


class Quick:
    """An adapter adds its library's class, by whose constructor an application makes others."""

    own: ClassVar[Any] = None
    """The library's class."""
    jar: CookieJar
    """Where they are kept: the client's own."""

    def extract_cookies(self, response: Response) -> None:
        """Keep what an answer sets; a jar of the standard library does nothing about one that sets none."""
        # It says no to a URL without a scheme, for which a mock may answer.
        if "set-cookie" in response.headers or "set-cookie2" in response.headers or not response.request.url.scheme:
            theirs: Any = super()
            theirs.extract_cookies(response)


def quick(library: Library, cookies: Any) -> Any:
    """The same cookies in the same jar, looked at less often; those of an application's own kind as they are."""
    kind = library.quick_cookies
    if kind is None or type(cookies) is not kind.own or type(cookies.jar) is not CookieJar:
        return cookies
    made: Any = kind.__new__(kind)
    # All that an application has put there or will: whoever holds the client's own still says what is sent.
    made.__dict__ = cookies.__dict__
    return made
