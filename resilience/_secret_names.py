"""What is secret by its name: the only list of the names of credentials, for headers, parameters and JSON alike."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = ["LONGEST_NAME", "is_secret_header", "is_secret_parameter"]

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
_WORDS = frozenset({"cookie", "cookies", "cred", "creds", "hmac", "jwt", "otp", "passcode", "pwd", "sig"})
# As the last word (`auth`, `x-auth`, but not `auth_mode`).
_LAST = frozenset({"auth", "csrf", "session", "verifier", "xsrf"})
# As the whole name, an `X-` aside: `key` and not `sort_key`, `code` (of OAuth) and not `error_code`. Not `pin`, `keys`
# and `tokens`, which to most APIs are a flag, a selection and a number.
_WHOLE = frozenset(
    {
        *("appid", "appkey", "assertion", "bearer", "clientkey", "code", "devkey", "key", "pass", "pat", "pw"),
        *("servicekey", "sid", "sign", "ticket", "userkey"),
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
LONGEST_NAME = 256
"""Characters of a name that are looked at."""


# Each of its signs may be three.
_LONGEST_ENCODED = 3 * (LONGEST_NAME + 1)


def _gives_away(name: str) -> bool:
    if len(name) > LONGEST_NAME:
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
    return _is_header(name[: LONGEST_NAME + 1], None if account is None else account.headers)


def is_secret_parameter(name: str, policy: Policy | None = None) -> bool:
    """The same of a parameter of a query, as it is sent."""
    account = None if policy is None else policy.account
    return _is_parameter(name[:_LONGEST_ENCODED], None if account is None else account.query)


# What calls name is the same in each of them.
@lru_cache(1024)
def _is_header(name: str, own: tuple[str, ...] | None) -> bool:
    return _gives_away(name) or (own is not None and name.lower() in [each.lower() for each in own])


@lru_cache(1024)
def _is_parameter(name: str, own: tuple[str, ...] | None) -> bool:
    return _is_header(unquote_plus(name)[: LONGEST_NAME + 1], own)
