"""What must not be seen: credentials in URLs and headers, and how they are hidden. The only list of such names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, unquote_plus

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = [
    "HIDDEN",
    "is_secret_header",
    "is_secret_parameter",
    "safe_address",
    "safe_headers",
    "safe_path",
    "safe_query",
    "safe_url",
]

HIDDEN = "REDACTED"
"""In place of a secret, as the HTTP semantic conventions of OpenTelemetry write it."""
# Names are compared by their letters alone, so that `API_KEY`, `X-Api-Key` and `apiKey` are one. The conventions for
# `url.full` name X-Amz-Signature, X-Amz-Credential, X-Amz-Security-Token, AWSAccessKeyId, Signature, sig and
# X-Goog-Signature; the keys of most providers stand elsewhere.
# A secret wherever they stand in a name:
_PARTS = (
    *("apikey", "accesskey", "accountkey", "applicationkey", "authkey", "consumerkey", "functionskey", "licensekey"),
    *("masterkey", "privatekey", "sharedkey", "signingkey", "subscriptionkey", "authorization", "credential", "secret"),
    *("passphrase", "passwd", "password", "signature", "sessionid", "sessid", "authcode", "devicecode", "codeverifier"),
    *("samlresponse", "clientassertion"),
)
# As a whole word of a name (`x-goog-jwt`, `setCookies`); so is every word that ends with "token", as "tokens" does not:
# tokens are counted, a token is a key.
_WORDS = frozenset({"cookie", "cookies", "hmac", "jwt", "otp", "passcode", "pwd", "sig"})
# As the last word (`auth`, `x-auth`, but not `auth_mode`).
_LAST = frozenset({"auth", "session", "verifier"})
# As the whole name, an `X-` aside: `key` and not `sort_key`, `code` (of OAuth) and not `error_code`.
_WHOLE = frozenset(
    {
        *("appid", "appkey", "assertion", "bearer", "clientkey", "code", "devkey", "key", "pass", "pw", "servicekey"),
        *("sid", "sign", "ticket", "userkey"),
    }
)
# What a name that ends so says is about a secret, and none: `token_type`, `signature_method`, `x-token-limit`.
_ABOUT = frozenset(
    {
        *("algorithm", "budget", "count", "expires", "length", "limit", "method", "remaining", "type", "usage", "used"),
        "version",
    }
)
_LETTERS = re.compile(r"[a-z]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_USERINFO = re.compile(r"://[^/?#]*@")
_NOBODY = f"://{HIDDEN}:{HIDDEN}@"
_LONGEST_NAME = 256
_LONGEST_URL = 4096
# Addresses in parameters of addresses: providers that fetch pages take them.
_DEEPEST = 4


@lru_cache(1024)
def _gives_away(name: str) -> bool:
    if len(name) > _LONGEST_NAME:
        # Nobody names anything so; it is not worth a look.
        return True
    plain = _LETTERS.findall(name.lower())
    camel = [word.lower() for word in _CAMEL.findall(name)] or plain
    if not plain or plain[-1] in _ABOUT or camel[-1] in _ABOUT:
        return False
    letters = "".join(plain)
    if letters in _WHOLE or (plain[0] == "x" and letters[1:] in _WHOLE) or any(part in letters for part in _PARTS):
        return True
    words = {*plain, *camel}
    return bool(words & _WORDS or {plain[-1], camel[-1]} & _LAST) or any(word.endswith("token") for word in words)


def is_secret_header(name: str, policy: Policy | None = None) -> bool:
    """Whether the value of a header is a secret.

    Arguments:
        name: of the header.
        policy: of the provider, whose `account` names headers too.
    """
    account = None if policy is None else policy.account
    own = () if account is None else account.headers or ()
    return _gives_away(name[: _LONGEST_NAME + 1]) or name.lower() in [each.lower() for each in own]


def is_secret_parameter(name: str, policy: Policy | None = None) -> bool:
    """The same of a parameter of a query, as it is sent."""
    account = None if policy is None else policy.account
    own = () if account is None else account.query or ()
    name = unquote_plus(name)
    return _gives_away(name[: _LONGEST_NAME + 1]) or name.lower() in [each.lower() for each in own]


def safe_headers(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], policy: Policy | None = None
) -> dict[str, str]:
    """Headers without secrets."""
    return {name: HIDDEN if is_secret_header(name, policy) else value for name, value in dict(headers).items()}


def safe_query(query: str, policy: Policy | None = None) -> str:
    """A query as it is sent, without secrets; names stay."""
    return _query(query, policy, 0)


def safe_path(path: str, policy: Policy | None = None) -> str:
    """A path as it is sent, without secrets."""
    return _path(path, policy, 0)


def safe_url(url: Any, policy: Policy | None = None) -> str:
    """A URL of httpx or httpx2 without user, password, secrets and fragment, of at most 4096 characters.

    Arguments:
        url: the URL of a request.
        policy: of the provider.
    """
    host = url.raw_host.decode("ascii", "replace")
    host = f"[{host}]" if ":" in host else host
    port = f":{url.port}" if url.port is not None else ""
    user = f"{HIDDEN}:{HIDDEN}@" if url.userinfo else ""
    return _cut(f"{url.scheme}://{user}{host}{port}{_target(url.raw_path.decode('ascii', 'replace'), policy, 0)}")


def safe_address(text: str, policy: Policy | None = None) -> str:
    """The same of an address as somebody wrote it: a whole URL, or a path with its query."""
    return _cut(_target(text, policy, 0))


def _cut(text: str) -> str:
    # Not before: what tells that something is a secret may stand behind it.
    return text if len(text) <= _LONGEST_URL else f"{text[: _LONGEST_URL - 3]}..."


def _target(text: str, policy: Policy | None, depth: int) -> str:
    """An address, or what of it follows the host."""
    text, hash_sign, fragment = text.partition("#")
    path, mark, query = text.partition("?")
    return (
        f"{_path(path, policy, depth)}{mark}{_query(query, policy, depth)}{hash_sign}{_query(fragment, policy, depth)}"
    )


def _path(path: str, policy: Policy | None, depth: int) -> str:
    if "@" in path:
        path = _USERINFO.sub(_NOBODY, path)
    if ";" in path or "%" in path:
        path = "/".join(_segment(each, policy, depth) for each in path.split("/"))
    return path


def _segment(segment: str, policy: Policy | None, depth: int) -> str:
    # Parameters may stand in a path (RFC 3986 section 3.3): `/things;jsessionid=...`.
    name, *parameters = segment.split(";")
    return ";".join((_value(name, policy, depth), *(_part(each, policy, depth) for each in parameters)))


def _query(query: str, policy: Policy | None, depth: int) -> str:
    return "&".join(_parts(each, policy, depth) for each in query.split("&")) if "=" in query or "%" in query else query


def _parts(text: str, policy: Policy | None, depth: int) -> str:
    """What stands between two `&`; to some servers a semicolon separates as well."""
    name, _, rest = text.partition("=")
    if ";" not in text or (rest and is_secret_parameter(name, policy)):
        # To others a semicolon is part of the secret.
        return _part(text, policy, depth)
    found: list[str] = []
    is_hidden = False
    for each in text.split(";"):
        if is_hidden and "=" not in each:
            continue
        found.append(_part(each, policy, depth))
        is_hidden = found[-1] != each
    return ";".join(found)


def _part(text: str, policy: Policy | None, depth: int) -> str:
    name, equals, value = text.partition("=")
    if not equals:
        return _value(text, policy, depth)
    if is_secret_parameter(name, policy) or ("proxy" in name.lower() and "@" in unquote(value)):
        return f"{name}={HIDDEN}"
    return f"{name}={_value(value, policy, depth)}"


def _value(value: str, policy: Policy | None, depth: int) -> str:
    """A value that is not secret by its name, without what is secret in it: it may be an address, a form or JSON."""
    if "%" not in value and "=" not in value and "@" not in value and not value.startswith(("{", "[")):
        return value
    # Before anything is decoded: a password may hold a slash that is not.
    value = _USERINFO.sub(_NOBODY, value)
    plain = unquote(value)
    if plain.startswith(("{", "[")):
        names = (each for each in plain.split('"')[1::2] if len(each) <= _LONGEST_NAME)
        return HIDDEN if _USERINFO.search(plain) or any(is_secret_parameter(each, policy) for each in names) else value
    if plain == value and "=" not in value and "@" not in value:
        return value
    if depth >= _DEEPEST:
        return value if plain == value else HIDDEN
    is_form = "=" in plain and "?" not in plain and "://" not in plain
    safe = (_query if is_form else _target)(plain, policy, depth + 1)
    # What holds no secret stays as it was written.
    return value if safe == plain else safe if plain == value else quote(safe, safe="")
