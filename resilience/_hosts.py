"""Which hosts a policy speaks of."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr
from pydantic_core import PydanticCustomError

from ._model import Model

__all__ = ["Hosts", "Match"]

# RFC 1123 section 2.1, with the underscore that some names have; or an IPv6 address without its brackets.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(r"(?:\*\.)?" + _LABEL + r"(?:\." + _LABEL + r")*|\*|[0-9a-f:]{2,39}")
_LONGEST = 253


def _check(host: str) -> str:
    if not _is_host(host):
        what = "{host} is no host; write api.example.com, *.example.com, 127.0.0.1:8000 or *: small letters, no scheme, no path"
        raise PydanticCustomError("host", what, {"host": repr(host)[:60]})
    return host


def _stand_once(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for index, host in enumerate(hosts):
        if host in hosts[:index]:
            raise PydanticCustomError("host", "{host} stands here twice", {"host": repr(host), "at": (index,)})
    return hosts


def _is_host(text: str) -> bool:
    name, colon, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        return False
    return len(name) <= _LONGEST and _NAME.fullmatch(name) is not None


_Host = Annotated[StrictStr, AfterValidator(_check)]
Hosts = Annotated[tuple[_Host, ...], Field(min_length=1), AfterValidator(_stand_once)]
"""Host names in small letters: `api.example.com`, `*.example.com` for all below it, `127.0.0.1:8000` with a port, `*`
for every host that no other policy names."""


class Match(Model):
    """Which requests the policy speaks of."""

    hosts: Hosts
    """Host names in small letters: `api.example.com`, `*.example.com` for all below it, `127.0.0.1:8000` with a port,
    `*` for every host that no other policy names."""
