"""What must not be seen: the names of secrets, and how their values are hidden in URLs, headers and words."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import Policy
from resilience._attempt_span import parts_of
from resilience._categories import Category
from resilience._options import CallOptions
from resilience._outcome import Exchange, Verdict
from resilience._quoted import safe_text, safe_verdict, secrets_of
from resilience._redact import (
    HIDDEN,
    is_secret_header,
    is_secret_parameter,
    safe_address,
    safe_headers,
    safe_path,
    safe_query,
    safe_url,
)
from resilience._trail import Trail
from resilience.simulate import Request as Simulated

SECRET = "s3cr3t-Zq8vLw2"
SECRET_NAMES = """
    api_key api-key apikey apiKey APIKEY X-API-Key hapikey dd-application-key x-rapidapi-key key KEY Key x-key appid
    token Token tOkEn access_token accessToken refresh_token id_token x-auth-token csrf-token csrftoken nextToken tokenValue
    private-token secret client_secret clientSecret password passwd pwd pass passphrase auth x-auth authorization
    X-Amz-Signature X-Amz-Credential X-Amz-Security-Token AWSAccessKeyId Signature sig Sig X-Goog-Signature
    X-Goog-Credential sign oauth_signature oauth_token oauth_consumer_key oauth_verifier code Code device_code
    code_verifier session sessionid session_id PHPSESSID JSESSIONID ASP.NET_SessionId sid jwt cf-access-jwt-assertion
    assertion client_assertion ocp-apim-subscription-key x-functions-key licenseKey Set-Cookie cookie cookies
    setCookies Proxy-Authorization x-goog-iam-authorization-token headers[Authorization] api_key[] api+key
    api%5Fkey %74oken x-hub-signature-256 hmac otp ticket credentials cred creds user_creds csrf _csrf XSRF pat
""".split()  # noqa: SIM905  a list of words
PLAIN_NAMES = """
    max_tokens TOKEN_tYPE maxTokens tokens totalTokenCount token_type token_count tokenizer x-ratelimit-remaining-tokens
    anthropic-ratelimit-tokens-remaining x-ratelimit-limit-tokens country_code error_code errorCode zipcode encoding
    sort_key primaryKey keyword keywords monkey idempotency-key author authority auth_type auth_method passenger design
    assign sidebar session_timeout sessions signature_method signatureVersion x-amz-date X-Amz-Expires x-amz-algorithm
    se sv sp q page limit url user username content-type accept retry-after www-authenticate sec-websocket-key host 1
    pin keys path pattern csrf_enabled credit
""".split()  # noqa: SIM905  a list of words
LIBRARIES: list[Any] = [httpx, httpx2]


def policy(**account: Any) -> Policy:
    """A provider whose key goes where a test says."""
    parts = {"version": 1, "provider": "acme", "match": {"hosts": ["api.acme.example"]}}
    return Policy.model_validate({**parts, "account": account or {"headers": ["x-acme"], "query": ["acme_id"]}})


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_secrets(name: str) -> None:
    """Letters decide, whatever their case, their encoding and what joins the words; a header and a parameter alike."""
    assert is_secret_parameter(name)
    assert is_secret_header(name) or "%" in name
    assert f"{name}={HIDDEN}" == safe_query(f"{name}={SECRET}")


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_names_of_what_anybody_may_see(name: str) -> None:
    """Tokens are counted, a token is a key; what speaks of a secret is none."""
    assert not is_secret_parameter(name)
    assert not is_secret_header(name)
    assert f"{name}=17" == safe_query(f"{name}=17")


@pytest.mark.parametrize("name", ["", "=", "_", "17", "\u0442\u043e\u043a\u0435\u043d", "\u212a"])
def test_names_without_letters(name: str) -> None:
    """Nothing is known of them."""
    assert not is_secret_parameter(name)


def test_a_name_that_is_too_long_to_look_at() -> None:
    """256 letters are looked at; the value of what has more is hidden."""
    assert "a" * 256 + "=1" == safe_query("a" * 256 + "=1")
    assert "a" * 257 + f"={HIDDEN}" == safe_query("a" * 257 + "=1")


def test_the_places_of_a_policy_are_secret() -> None:
    """The policy's account names headers and parameters that no list knows."""
    own = policy()

    assert is_secret_header("X-Acme", own)
    assert not is_secret_header("X-Acme")
    assert is_secret_parameter("Acme%5FID", own)
    assert not is_secret_parameter("acme_id")
    assert not is_secret_parameter("acme_id", policy(headers=["x-acme"]))
    assert not is_secret_header("x-acme", policy(query=["acme_id"]))
    assert f"acme_id={HIDDEN}&a=1" == safe_query(f"acme_id={SECRET}&a=1", own)
    assert {"x-acme": HIDDEN, "a": "1"} == safe_headers({"x-acme": SECRET, "a": "1"}, own)


def test_headers_are_given_as_pairs_or_as_a_mapping() -> None:
    """Their names and order stay."""
    expected = {"Authorization": HIDDEN, "Accept": "*/*"}

    assert expected == safe_headers([("Authorization", f"Bearer {SECRET}"), ("Accept", "*/*")])
    assert expected == safe_headers({"Authorization": f"Bearer {SECRET}", "Accept": "*/*"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://u:p@h/?api_key=x", "https://REDACTED:REDACTED@h/?api_key=REDACTED"),
        ("/a?token=x", "/a?token=REDACTED"),
        ("</a?token=x>, <//u:p@h/>", "</a?token=REDACTED, <//REDACTED:REDACTED@h/>"),
        ("Bearer abcdefgh", HIDDEN),
        ("Basic bWU6cGFzc3dvcmQ=", HIDDEN),
        ('{"api_key":"x"}', HIDDEN),
        ("X-Api-Key: x", HIDDEN),
        ("a=1;token=x", "a=1;token=REDACTED"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:1.0)", "Mozilla/5.0 (X11; Linux x86_64; rv:1.0)"),
        ('text/html;q=0.8, form-data; name="a"', 'text/html;q=0.8, form-data; name="a"'),
        ("Mon, 01 Jan 2026 12:00:00 GMT", "Mon, 01 Jan 2026 12:00:00 GMT"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
    ],
)
def test_headers_that_are_no_secrets_themselves(value: str, expected: str) -> None:
    """The addresses, forms and JSON in them are looked into."""
    assert {"X-Original-URL": expected} == safe_headers({"X-Original-URL": value})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ""),
        ("a", "a"),
        ("token", "token"),
        ("token=", "token=REDACTED"),
        ("a=1&token=x&token=y&b=2", "a=1&token=REDACTED&token=REDACTED&b=2"),
        ("&&a=1&", "&&a=1&"),
        ("token=x=y==", "token=REDACTED"),
        # To some servers a semicolon separates; to others it is part of the secret.
        ("token=x;y", "token=REDACTED"),
        ("token=x;b=2", "token=REDACTED"),
        ("a=1;token=x;y;b=2", "a=1;token=REDACTED;b=2"),
        ("a;token=x", "a;token=REDACTED"),
        ("a=1;b=2", "a=1;b=2"),
        # Addresses, forms and JSON within.
        ("url=https://u:p@h/?token=x", "url=https://REDACTED:REDACTED@h/?token=REDACTED"),
        ("url=https%3A%2F%2Fh%2F%3Ftoken%3Dx%26a%3D1", "url=https%3A%2F%2Fh%2F%3Ftoken%3DREDACTED%26a%3D1"),
        ("url=https://u:p%2Fp@h/", "url=https://REDACTED:REDACTED@h/"),
        ("url=https%3A%2F%2Fu%3Ap%40h%2F", "url=https%3A%2F%2FREDACTED%3AREDACTED%40h%2F"),
        ("url=https%3A%2F%2Fh%2F%23access_token%3Dx", "url=https%3A%2F%2Fh%2F%23access_token%3DREDACTED"),
        ("url=%2Fpath%3Ftoken%3Dx", "url=%2Fpath%3Ftoken%3DREDACTED"),
        ("u=%252Fp%253Ftoken%253Dx", "u=%252Fp%253Ftoken%253DREDACTED"),
        ("form=token%3Dx%26a%3D1", "form=token%3DREDACTED%26a%3D1"),
        ("headers=%7B%22X-Api-Key%22%3A%22x%22%7D", "headers=REDACTED"),
        ('headers={"X-Api-Key":"x"}', "headers=REDACTED"),
        ('steps=["https://u:p@h/"]', "steps=REDACTED"),
        ("body=%7B%22a%22%3A1%7D", "body=%7B%22a%22%3A1%7D"),
        ("proxy=u:p@h:80", "proxy=REDACTED"),
        ("own_proxy=u%3Ap%40h%3A80", "own_proxy=REDACTED"),
        ("proxy=premium", "proxy=premium"),
        ("mail=a@b.example", "mail=a@b.example"),
        ("url=https%3a%2f%2fh%2f%3Fa=1", "url=https%3a%2f%2fh%2f%3Fa=1"),
        ("q=100%&r=%zz&s=%", "q=100%&r=%zz&s=%"),
        # Users of addresses without a scheme, and without slashes.
        ("url=//u:p@h/", "url=//REDACTED:REDACTED@h/"),
        ("to=u:p@h:80", "to=REDACTED:REDACTED@h:80"),
        ("to=u%3Ap%40h", "to=REDACTED%3AREDACTED%40h"),
        ("a=b&//u:p@h/", "a=b&//REDACTED:REDACTED@h/"),
        ("resource=acct:me@h.example&to=mailto:me@h.example", "resource=acct:me@h.example&to=mailto:me@h.example"),
        # Headers, as providers take them that fetch pages.
        ("headers=Authorization:%20Bearer%20x", "headers=REDACTED"),
        ("headers=Authorization%3A%20Bearer%20x", "headers=REDACTED"),
        ("headers=Accept:+a%0D%0AX-Api-Key+:+x", "headers=REDACTED"),
        ("h=X-Api-Key:x", "h=REDACTED"),
        ("h=X-Api-Key%253Ax", "h=REDACTED"),
        ("a=1&X-Api-Key:x", "a=1&REDACTED"),
        ("h=Cookie:%20a=x;%20b=y", "h=REDACTED"),
        ("url=https://h/?h=X-Api-Key:x%26a=1", "url=https%3A%2F%2Fh%2F%3Fh%3DREDACTED%26a%3D1"),
        ("url=https://h/?X-Api-Key:x", "url=REDACTED"),
        ("h=Bearer%20abcdefgh", "h=REDACTED"),
        ("h=Bearer+abcdefgh", "h=REDACTED"),
        ("h=Basic%20bWU6cGFzc3dvcmQ=", "h=REDACTED"),
        ("h=Accept:%20text/html", "h=Accept:%20text/html"),
        ("q=basic%20training&r=bearer%20bond", "q=basic%20training&r=bearer%20bond"),
        ("sort=key:desc,code:%20asc", "sort=key:desc,code:%20asc"),
        ("url=https://session:8080/code:x&t=12:00", "url=https://session:8080/code:x&t=12:00"),
        # JSON behind a blank, in JSON, with names that are encoded, with a name in a value, and what only looks like it.
        ("a=%20%7B%22token%22%3A%22x%22%7D", "a=REDACTED"),
        ('a=+{"token":"x"}', "a=REDACTED"),
        ("a=%22%7B%5C%22token%5C%22%3A%5C%22x%5C%22%7D%22", "a=REDACTED"),
        ("a=%7B%22tok%5Cu0065n%22%3A1%7D", "a=REDACTED"),
        ("a=%257B%2522token%2522%253A1%257D", "a=REDACTED"),
        ('a=[{"name":"Authorization","value":"x"}]', "a=REDACTED"),
        ('a={"u":"https://h/?key=x"}', "a=REDACTED"),
        ('a={"u":"to: X-Api-Key: x"}', "a=REDACTED"),
        ('a={login(password:"x")}', "a=REDACTED"),
        ('a={"token":', "a=REDACTED"),
        ('a={"b":[1,true,null,"c",{"d":2.5}]}', 'a={"b":[1,true,null,"c",{"d":2.5}]}'),
        ('a={"b":', 'a={"b":'),
    ],
)
def test_queries(query: str, expected: str) -> None:
    """Values are hidden and names stay; what holds no secret stays as it was written."""
    assert expected == safe_query(query)


def test_what_is_encoded_too_often_is_hidden() -> None:
    """Four layers are looked into; what has more is not shown."""
    once = twice = "https://h/?token=x"
    for _ in range(4):
        once = quote(once, safe="")
    for _ in range(9):
        twice = quote(twice, safe="")

    assert "REDACTED" in safe_query(f"url={once}")
    assert "REDACTED" != safe_query(f"url={once}").partition("=")[2]
    assert f"url={HIDDEN}" == safe_query(f"url={twice}")
    assert "url=" + "?" * 9 + "a=1" == safe_query("url=" + "?" * 9 + "a=1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b", "/a/b"),
        ("/a;jsessionid=x/b;v=1", "/a;jsessionid=REDACTED/b;v=1"),
        ("/https://u:p@h/b", "/https://REDACTED:REDACTED@h/b"),
        ("/https://h/@user", "/https://h/@user"),
        ("/fetch/https%3A%2F%2Fu%3Ap%40h%2F", "/fetch/https%3A%2F%2FREDACTED%3AREDACTED%40h%2F"),
        ("/caf%C3%A9/%2F", "/caf%C3%A9/%2F"),
        ("/api_key=x/b", "/api_key=REDACTED/b"),
        ("/a=1/b", "/a=1/b"),
        ("/fetch//u:p@h/b", "/fetch//REDACTED:REDACTED@h/b"),
        ("/u:p@h/b", "/REDACTED:REDACTED@h/b"),
        ("/fetch/h%3FX-Api-Key%3Ax", "/fetch/h%3FREDACTED"),
        ("/fetch/X-Api-Key%253Ax", "/fetch/REDACTED"),
        ('/{"token":"x"}', "/REDACTED"),
        ("/session:create/%20", "/session:create/%20"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    """Parameters and addresses within a path are looked at."""
    assert expected == safe_path(path)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.acme.example", "https://api.acme.example/"),
        ("https://api.acme.example:443/a?b=1", "https://api.acme.example/a?b=1"),
        ("http://api.acme.example:8080/a", "http://api.acme.example:8080/a"),
        ("https://user:password@h.example/", "https://REDACTED:REDACTED@h.example/"),
        ("https://token@h.example/", "https://REDACTED:REDACTED@h.example/"),
        ("https://[::1]:8443/a?key=x", "https://[::1]:8443/a?key=REDACTED"),
        ("https://[::1]/", "https://[::1]/"),
        ("https://b\u00fccher.example/?a=1", "https://xn--bcher-kva.example/?a=1"),
        ("https://h.example/a?b#access_token=x", "https://h.example/a?b"),
        ("https://h.example/a b?c=d e", "https://h.example/a%20b?c=d%20e"),
        ("https://h.example/a?acme_id=x&ACME_ID=y&a=1", "https://h.example/a?acme_id=REDACTED&ACME_ID=REDACTED&a=1"),
        (
            "https://b.blob.core.windows.net/c/d?sv=2024-11-04&se=2030-01-01&sp=r&sig=ab%2Bc%3D",
            "https://b.blob.core.windows.net/c/d?sv=2024-11-04&se=2030-01-01&sp=r&sig=REDACTED",
        ),
    ],
)
def test_urls(library: Any, url: str, expected: str) -> None:
    """Nothing but secrets and what is not sent is missing from `url.full`."""
    assert expected == safe_url(library.URL(url), policy())


def test_an_address_as_somebody_wrote_it() -> None:
    """A whole URL, or a path with its query."""
    assert "https://REDACTED:REDACTED@h:1/a?key=REDACTED#b" == safe_address("https://u:p@h:1/a?key=x#b")
    assert "/a?key=REDACTED&b" == safe_address("/a?key=x&b")
    assert "" == safe_address("")


def test_a_long_url_is_cut() -> None:
    """4096 characters at most, and only after what is secret has gone from it."""
    url = httpx.URL(f"https://h.example/?url=https://{'u' * 5000}:{SECRET}@h/&b={'x' * 9000}")

    shown = safe_url(url)

    assert 4096 == len(shown)
    assert shown.startswith("https://h.example/?url=https://REDACTED:REDACTED@h/&b=xxx")
    assert shown.endswith("...")
    assert 4096 == len(safe_url(httpx.URL("https://h.example/" + "a" * (4096 - 18))))
    assert not safe_url(httpx.URL("https://h.example/" + "a" * (4096 - 18))).endswith("...")


@pytest.mark.parametrize(
    "piece",
    [
        "X-Api-Key: ",
        "key:x ",
        "//u:p@",
        "u:p@ ",
        '"token": "',
        "bearer ",
        "[",
        '{"a":',
        "a:",
        "\\",
        "a=1&",
        "token=x&",
        ";",
        "=",
        "://",
        "@",
        "%25",
        "%",
        "u%3D",
        "://@",
        "a;b=",
        '{"',
        "?",
        "#",
        "AAAa",
        "/;",
    ],
)
def test_a_hostile_query_takes_linear_time(piece: str) -> None:
    """Two hundred thousand characters take well below what anything quadratic would."""
    text = piece * (200_000 // len(piece))
    began = time.process_time()

    for start in ("", "a=", "a={", "/", "a=%7B"):
        safe_query(start + text)
        safe_path(start + text)
        safe_address(start + text)

    assert time.process_time() - began < 60


places = st.sampled_from(
    [
        "https://h.example/a?{name}={secret}",
        "https://h.example/a?b=1&{name}={secret}&c=2",
        "https://h.example/a?b=1;{name}={secret};c=2",
        "https://h.example/a;{name}={secret}/b",
        "https://h.example/a?url=https://x.example/?{name}={secret}",
        "https://h.example/a?url=https://me:{secret}@x.example/",
        "https://me:{secret}@h.example/",
        "https://{secret}@h.example/",
        "https://h.example/a#{name}={secret}",
        "https://h.example/https://me:{secret}@x.example/b",
    ]
)
secrets = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-._~+/="), min_size=8)
plain_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


@given(places, st.sampled_from(SECRET_NAMES), secrets, st.booleans(), st.sampled_from(LIBRARIES))
def test_a_secret_in_a_secret_place_never_stands_in_what_is_shown(
    place: str, name: str, secret: str, twice: bool, library: Any
) -> None:
    """Wherever it stands, encoded or not, once or twice; in a URL of either library."""
    secret = f"{secret}0Q"
    written = quote(secret, safe="")
    url = place.format(name=name, secret=written)
    if twice:
        url = f"https://outer.example/?url={quote(url, safe='')}&a=1"

    for shown in (safe_url(library.URL(url)), safe_address(url)):
        assert secret not in shown
        assert written not in shown


@given(st.lists(st.tuples(st.sampled_from(PLAIN_NAMES), plain_texts), max_size=8), st.sampled_from(LIBRARIES))
def test_everything_else_stays_as_it_is(parameters: list[tuple[str, str]], library: Any) -> None:
    """The URL of a request without secrets is the URL that is sent."""
    harmless = [(name, value) for name, value in parameters if not {*value} & set("=@{[%")]
    url = library.URL("https://h.example/a/b", params=harmless)

    assert str(url) in {safe_url(url), str(url)[:4093] + safe_url(url)[4093:]}


@given(plain_texts, st.text(max_size=3000), st.binary(max_size=200))
def test_hostile_text_is_read_without_an_error(name: str, text: str, data: bytes) -> None:
    """What comes out is a text, and no longer than a few KiB where it is a URL."""
    is_secret_header(name)
    is_secret_parameter(name)
    safe_query(text)
    safe_path(text)
    safe_headers([(name, text)])

    assert len(safe_address(data.decode("latin-1") + text * 3)) <= 4096


def request(url: str = "https://h.example/", **headers: str) -> httpx.Request:
    """A request with headers, whose names are written with underscores here."""
    return httpx.Request("GET", url, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_the_credentials_of_a_request() -> None:
    """Whole and in parts: of a scheme, of cookies, of the URL; each as it may be quoted."""
    basic = base64.b64encode(b"user-name:pass/word").decode()
    made = request(
        "https://user-name:user%2Finfo-1@h.example/?key=query%2Fkey&page=2&token&url=https://x.example/?key=y",
        authorization="Bearer bearer-token-1",
        proxy_authorization=f"Basic {basic}",
        cookie="a=cookie-one; b=cookie-two",
        x_acme="own-key-1",
        x_api_key="short",
        accept="application/json",
    )

    found = secrets_of(made, policy())

    for each in ("Bearer bearer-token-1", "bearer-token-1", basic, "pass/word", "pass%2Fword", "user-name:pass/word"):
        assert each in found
    for each in (
        "cookie-one",
        "cookie-two",
        "own-key-1",
        "user/info-1",
        "user-name:user/info-1",
        "user-name",
        "query%2Fkey",
        "query/key",
    ):
        assert each in found
    assert sorted(map(len, found), reverse=True) == list(map(len, found))
    assert not {"short", "application/json", "2", "", "me"} & set(found)
    assert () == secrets_of(request())
    assert "not base64!" in secrets_of(request(authorization="Basic not base64!"))


def test_what_headers_tell_is_kept_for_requests_with_the_same() -> None:
    """Of each policy apart, since it says which headers are secrets; of another value, or more of them, it is found anew."""
    own, other = policy(), policy(headers=["x-other"])

    first = secrets_of(request(x_acme=SECRET), own)

    assert first is secrets_of(request(x_acme=SECRET), own)
    assert (SECRET,) == first
    assert () == secrets_of(request(x_acme=SECRET), other)
    assert ("another-longer-secret",) == secrets_of(request(x_acme="another-longer-secret"), own)
    assert ("another-longer-secret", SECRET) == secrets_of(
        request(x_acme=SECRET, x_api_key="another-longer-secret"), own
    )
    assert (SECRET, "query-secret") == secrets_of(request("https://h.example/?key=query-secret", x_acme=SECRET), own)


def test_what_a_key_is_in_another_encoding_is_hidden_too() -> None:
    """The caller says how the bytes of its headers are to be read."""
    own, found = policy(), []
    for encoding in ("utf-8", "latin-1"):
        made = httpx.Request("GET", "https://h.example/", headers=[(b"X-Acme", "schlüssel-geheim".encode())])
        made.headers.encoding = encoding
        found.append(secrets_of(made, own))

    assert "schlüssel-geheim" in found[0]
    assert "schlÃ¼ssel-geheim" in found[1]


def test_long_headers_are_not_kept() -> None:
    """A client of many users has as many keys, and some of them carry kilobytes."""
    own, long = policy(), "k" * 4096

    assert long in secrets_of(request(x_acme=long), own)
    assert secrets_of(request(x_acme=long), own) is not secrets_of(request(x_acme=long), own)
    for number in range(100):
        secrets_of(request(x_acme=f"{SECRET}{number}"), own)
    assert 64 == len(vars(own)["_told"].kept)


def test_words_do_not_quote_a_secret() -> None:
    """All that stands in them is replaced, also where the words were cut within it."""
    assert "REDACTED and REDACTED" == safe_text(f"{SECRET} and {SECRET}", [SECRET])
    assert "REDACTED" == safe_text("prefix-secret-1", ["prefix-secret-1", "secret-1"])
    assert f"the key {HIDDEN}" == safe_text(f"the key {SECRET[:9]}", [SECRET])
    assert f"the key {SECRET[:7]}" == safe_text(f"the key {SECRET[:7]}", [SECRET])
    assert f"{HIDDEN} is the key" == safe_text(f"{SECRET[:9]} is the key", [SECRET])
    assert f"{SECRET[:7]} is the key" == safe_text(f"{SECRET[:7]} is the key", [SECRET])
    assert "short word" == safe_text("short word", ["short", ""])


def test_a_verdict_does_not_quote_a_secret() -> None:
    """Code and message are the provider's own words; the rest of it, and a verdict without words, are the same."""
    own, made = policy(), request(x_acme=SECRET)
    told = Verdict(Category.AUTH, retryable=False, code=f"bad-{SECRET}", message=f"no {SECRET} here", rule="r")

    cleared = safe_verdict(told, made, own)

    assert Verdict(Category.AUTH, retryable=False, code="bad-REDACTED", message="no REDACTED here", rule="r") == cleared
    for verdict in (Verdict(Category.AUTH, retryable=False), Verdict(Category.AUTH, retryable=False, message="no")):
        assert verdict is safe_verdict(verdict, made, own)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (SECRET, None, ("REDACTED", None)),
        (None, SECRET, (None, "REDACTED")),
        ("bad", f"{SECRET[:6]}\u2022\u2022\u2022", ("bad", "REDACTED\u2022\u2022\u2022")),
        (f"{SECRET[:6]}\u2026", "bad", ("REDACTED\u2026", "bad")),
        (SECRET[:6], SECRET[6:], (SECRET[:6], SECRET[6:])),
    ],
)
def test_either_word_of_a_verdict_may_quote_a_secret(
    code: str | None, message: str | None, expected: tuple[str | None, str | None]
) -> None:
    """Each is looked at, whatever the other says, and the two are not read as one."""
    told = Verdict(Category.AUTH, retryable=False, code=code, message=message)

    cleared = safe_verdict(told, request(x_acme=SECRET), policy())

    assert expected == (cleared.code, cleared.message)


def test_the_words_of_a_simulated_provider() -> None:
    """A simulation has no credentials in its URLs, and headers as any call."""
    made = Simulated("GET", "https://h.example/a?key=query-key-1", {"X-Api-Key": SECRET}, b"")

    assert SECRET in secrets_of(made)


HOLDERS = [
    "https://h.example/a?api_key={}",
    "https://h.example/a?b=1;api_key={}",
    "https://h.example/a;token={}/b",
    "https://h.example/api_key={}/b",
    "https://h.example/a?url=https%3A%2F%2Fshop.example%2F%3Fapi_key%3D{}",
    "https://h.example/a?url=https%3A%2F%2Fme%3A{}%40shop.example%2F",
    "https://h.example/a?url=//me:{}@shop.example/",
    "https://h.example/a?to=me:{}@shop.example",
    "https://h.example/a?headers=Authorization:%20Bearer%20{}",
    "https://h.example/a?headers=Accept:%20a%0AX-Api-Key:{}",
    "https://h.example/a?h=Bearer%20{}",
    "https://h.example/a?f=%7B%22api_key%22%3A%22{}%22%7D",
    "https://h.example/a?f=%20%7B%22a%22%3A%7B%22token%22%3A%5B%22{}%22%5D%7D%7D",
    "https://h.example/a?f=[%7B%22name%22:%22Cookie%22,%22value%22:%22{}%22%7D]",
    "https://me:{}@h.example/a",
]
tokens = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-._~"), min_size=12)


def told(secret: str, at: int, way: str) -> str:
    """What a provider may say of a secret."""
    ways = {
        "whole": secret,
        "quoted": f"'{secret}'",
        "capitals": secret.upper(),
        "cut": secret[: 8 + at % (len(secret) - 8)],
        "dots": f"{secret[: 8 + at % (len(secret) - 8)]}... is",
        "masked": f"{secret[:6]}****{secret[-4:]}. You",
        "start": f"{secret[:6]}***",
        "end": f"********{secret[-6:]}",
        "both": f"{secret[:3]}...{secret[-4:]}",
    }
    return f"the key {ways[way]} is not known"


WAYS = ["whole", "quoted", "capitals", "cut", "dots", "masked", "start", "end", "both"]


@given(
    st.sampled_from(
        [*HOLDERS, "X-Api-Key: {}", "Authorization: Bearer  {}", "Cookie: a=1; b={}", "Referer: /a?key={}"]
    ),
    tokens,
    st.integers(0, 99),
    st.sampled_from(WAYS),
)
def test_no_part_of_a_secret_is_quoted(holder: str, token: str, at: int, way: str) -> None:
    """Wherever in the request it stood, and however much of it the provider says."""
    secret = f"q7{token}Z9x"
    header, _, value = holder.format(secret).partition(": ")
    made = (
        request(header)
        if header.startswith("https")
        else httpx.Request("GET", "https://h.example/", headers={header: value})
    )
    words = told(secret, at, way)

    verdict = safe_verdict(Verdict(Category.AUTH, retryable=False, code=words[:200], message=words), made, policy())

    for said in (verdict.code, verdict.message):
        assert said is not None
        assert "the key " in said
        assert not {secret[:6].lower(), secret[-4:].lower()} & {
            said.lower()[i : i + n] for n in (4, 6) for i in range(len(said))
        }


@given(st.sampled_from(HOLDERS), tokens, st.sampled_from(LIBRARIES))
def test_no_secret_is_shown(holder: str, token: str, library: Any) -> None:
    """In a URL, in a header that is no secret itself, in a path."""
    secret = f"q7{token}Z9x"
    url = holder.format(secret)
    shown = [safe_url(library.URL(url)), safe_address(url), *safe_headers({"Referer": url, "X-Url": url[17:]}).values()]

    assert not [each for each in shown if secret in each]


def test_forms_in_which_a_secret_is_quoted() -> None:
    """Encoded with small letters, as a form, in HTML; a part of an address that holds one is no secret."""
    made = request("https://h.example/?url=https://shop.example/?key%3Dinner-key-1", x_api_key="a/b c&d+e/f g")

    clear = [
        safe_text(f"no {each}!", secrets_of(made)) for each in ("a%2fb%20c%26d%2be%2ff%20g", "a%2Fb+c%26d%2Be%2Ff+g")
    ]

    assert ["no REDACTED!"] * 2 == clear
    assert "no REDACTED!" == safe_text("no a/b c&amp;d+e/f g!", secrets_of(made))
    assert "https://shop.example/ REDACTED" == safe_text("https://shop.example/ inner-key-1", secrets_of(made))


def test_a_long_secret_in_json_is_known_whole_or_in_numbers() -> None:
    """Whatever stands below the name, and beside it."""
    document = '{"a":{"token":{"x":["deep-token-1",1234567890,"ab"]}},"l":[{"name":"Cookie","value":"beside-name-1"}]}'
    made = request(f"https://h.example/?f={quote(document, safe='')}&g={quote('{token: loose-token-1', safe='')}")

    assert {"deep-token-1", "1234567890", "beside-name-1", "loose-token-1"} <= set(secrets_of(made))


def test_json_in_json_and_what_is_encoded_too_often() -> None:
    """Four layers of it are looked into, and what is written down of a secret is decoded as often."""
    document, encoded = '{"a":"' + "b" * 300 + '"}', "a b/secret"
    for _ in range(3):
        document = json.dumps([document])
    for _ in range(7):
        encoded = quote(encoded, safe="")
    deep = document
    for _ in range(3):
        deep = json.dumps([deep])

    for each in (document, deep):
        assert f"a={each}" == safe_query(f"a={each}")
    assert quote(encoded, safe="") in secrets_of(request(f"https://h.example/?token={encoded}"))


def test_so_many_secrets_are_known() -> None:
    """A request with more than anybody has takes no long time."""
    made = request("https://h.example/?" + "&".join(f"token=secret-{number}" for number in range(3000)))

    assert 200 == len(secrets_of(made))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("headers", "url", "expected"),
    [
        ({"X-Api-Key": SECRET}, f"https://h.example/a?k={SECRET}", "https://h.example/a?k=REDACTED"),
        ({"X-Api-Key": SECRET}, f"https://h.example/bot{SECRET}/send", "https://h.example/botREDACTED/send"),
        ({"X-Api-Key": "a+b/c=d+e"}, "https://h.example/a?k=a%2Bb%2Fc%3Dd%2Be", "https://h.example/a?k=REDACTED"),
        ({"Authorization": f"Bearer {SECRET}"}, f"https://h.example/{SECRET}", "https://h.example/REDACTED"),
        ({"Authorization": "Basic bWU6cGFzc3dvcmQ="}, "https://h.example/password", "https://h.example/REDACTED"),
        ({"Cookie": f"a=1; b={SECRET}"}, f"https://h.example/{SECRET}", "https://h.example/REDACTED"),
        ({}, f"https://h.example/{SECRET}?key={SECRET}", "https://h.example/REDACTED?key=REDACTED"),
        ({"X-Api-Key": "short"}, "https://h.example/short?a=1", "https://h.example/short?a=1"),
        # Hosts stand in other attributes too.
        ({"X-Api-Key": "acme-users"}, "https://acme-users.example/a?b=1", "https://acme-users.example/a?b=1"),
        ({"X-Api-Key": "acme-users"}, "https://acme-users.example?b=1", "https://acme-users.example/?b=1"),
        ({"X-Other": SECRET}, f"https://h.example/{SECRET}?a=1", f"https://h.example/{SECRET}?a=1"),
    ],
)
def test_a_credential_of_a_header_is_not_shown_in_a_url(
    library: Any, headers: dict[str, str], url: str, expected: str
) -> None:
    """Under whatever name, encoded or not; a new request with the same URL gets what is its own."""
    own = policy()
    trail = Trail("acme", None)

    def shown(given: dict[str, str]) -> object:
        made = library.Request("GET", url, headers=given)
        return parts_of(Exchange(made, own, None, CallOptions(), trail, *[None] * 3))[1]["url.full"]  # type: ignore[arg-type]

    assert expected == shown(headers)
    assert {expected, shown({})} >= {shown(headers), shown({})}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_url_that_is_kept_is_hidden_for_who_carries_its_key(library: Any) -> None:
    """Even if somebody without the key has called it before; then for all; what has no place for a key is not looked at."""
    own, trail = policy(), Trail("acme", None)

    def shown(path: str, **headers: str) -> object:
        made = library.Request("GET", f"https://h.example{path}", headers=headers)
        return parts_of(Exchange(made, own, None, CallOptions(), trail, *[None] * 3))[1]["url.full"]  # type: ignore[arg-type]

    assert f"https://h.example/a/{SECRET}" == shown(f"/a/{SECRET}")
    assert f"https://h.example/a/{SECRET}" == shown(f"/a/{SECRET}", cookie="other-key-1")
    assert f"https://h.example/a/{SECRET}" == shown(f"/a/{SECRET}", cookie="other-key-1")
    assert "https://h.example/a/REDACTED" == shown(f"/a/{SECRET}", cookie=SECRET)
    assert "https://h.example/a/REDACTED" == shown(f"/a/{SECRET}")
    assert [None, None] == [
        own.span_parts[None, "GET", url][2] for url in (f"https://h.example/a/{SECRET}", str(shown("/a/b")))
    ]
