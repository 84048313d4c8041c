"""A fake provider charges as its policy says, and stops where an account has nothing left."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import resilience.cli._fake_provider
from resilience import Policy
from resilience._amounts import millionths
from resilience._charges import reader_of
from resilience._conditions import Answer
from resilience._costs import worst_case
from resilience._documented import Documented, Reply
from resilience._fake_account import Accounts, Asked
from resilience._headers import FoldedHeaders
from resilience._request_parts import RequestView
from resilience._scopes import account_of
from resilience._script import Step
from resilience.errors import ConfigurationError
from resilience.testing import fake_provider


def shown(path: str, status: int, body: Any = None, *, method: str = "POST", **more: Any) -> dict[str, Any]:
    """A documented answer."""
    category = more.pop("category", "success" if status < 400 else "server_error")
    answer = {"status": status, **({} if body is None else {"body": body}), **more}
    return {"request": {"method": method, "path": path}, "answer": answer, "verdict": {"category": category}}


DATA: dict[str, Any] = {
    "version": 1,
    "provider": "acme",
    "match": {"hosts": ["api.acme.test"]},
    "account": {"headers": ["X-Acme-Key"]},
    "operations": {
        "search": {"method": "POST", "path": "/search"},
        "page": {"method": "GET", "path": "/page"},
        "stream": {"method": "POST", "path": "/stream"},
        "batch": {"method": "POST", "path": "/batch"},
        "job": {"method": "GET", "path": "/jobs/{id}"},
        "usage": {"method": "GET", "path": "/usage"},
        "odd": {"method": "POST", "path": "/odd"},
    },
    "envelopes": [{"code": "error.code", "message": "error.message"}],
    "answers": [{"rule": "blocked", "when": {"status": 200, "body": {"ok": False}}, "category": "target_blocked"}],
    "credits": {
        "costs": [
            {"operations": "search", "when": {"body": {"browser": True}}, "cost": 5},
            {"operations": "search", "cost": 1, "times": {"body": "urls", "most": 100}},
            {"operations": "page", "when": {"query": {"large": "1"}}, "cost": "0.5"},
            {"operations": "page", "cost": "0.25"},
            {"operations": "batch", "cost": 2, "times": {"body": "urls", "most": 10}},
            {"operations": ["job", "usage"], "cost": 0},
            {"operations": "stream", "cost": 6},
        ],
        "charged": [
            {"operations": ["search", "job", "stream", "odd"], "body": "usage.credits"},
            {"operations": "page", "header": "X-Cost"},
        ],
        "charges": [{"when": {"body": {"cached": True}}, "cost": "0.1"}],
        "balance": [
            {"operations": "usage", "body": "left"},
            {"body": "error.message", "after": "balance "},
            {"header": "X-Left"},
        ],
        "jobs": [
            {"submit": "batch", "id": "job", "poll": "job", "poll_id": "id", "ended": {"body": {"state": ["done", "lost"]}}}
        ],
    },
    "examples": [
        shown("/search", 200, {"found": [], "usage": {"credits": 15, "tier": "b"}}),
        shown("/search", 500, {"error": {"code": "BUSY"}, "usage": {"credits": 0}}),
        shown("/search", 503, {"error": {"code": "DOWN"}}),
        shown("/page", 200, text="<html>", method="GET", headers={"Content-Type": "text/html", "x-cost": "9"}),
        shown("/stream", 200, text='data: {"usage": {"credits": 4}}\n\n', headers={"Content-Type": "text/event-stream"}),
        shown("/batch", 202, {"job": "j"}),
        shown("/jobs/7", 200, {"id": "x", "state": "done", "usage": {"credits": 9}}, method="GET"),
        shown("/odd", 200, {"usage": {"credits": 8}}),
        shown("/search", 203, {"cached": True, "usage": {"credits": 8}}),
        shown("/usage", 200, {"left": 9313}, method="GET"),
        shown(
            "/search", 402, {"error": {"code": "EMPTY", "message": "cost 10, balance 8."}}, category="credits_exhausted"
        ),
    ],
}  # fmt: skip
ACME = Policy.model_validate(DATA)


@pytest.fixture(scope="module")
def client() -> Any:
    """Give all tests one client: its TLS settings take time to load."""
    with httpx.Client(trust_env=False) as client:
        yield client


def test_a_call_costs_what_its_policy_says(client: httpx.Client) -> None:
    """By its request, and the documented answer tells that amount instead of its own."""
    with fake_provider(ACME) as provider:
        bodies: list[Any] = [{}, {"browser": True}, {"urls": [1, 2, 3]}]
        answers = [client.post(f"{provider.url}/search", json=body) for body in bodies]

        assert [{"found": [], "usage": {"credits": cost, "tier": "b"}} for cost in (1, 5, 3)] == [
            answer.json() for answer in answers
        ]
        assert Decimal(9) == provider.charged
        assert [1, 5, 3] == [request.charged for request in provider.requests]


def test_headers_tell_it_too(client: httpx.Client) -> None:
    """Instead of the documented one; a page that is no JSON stays as it is."""
    with fake_provider(ACME) as provider:
        plain, large = client.get(f"{provider.url}/page"), client.get(f"{provider.url}/page?large=1")

        assert ["<html>", ["0.25"], ["0.5"]] == [
            plain.text, plain.headers.get_list("X-Cost"), large.headers.get_list("X-Cost")
        ]  # fmt: skip
        assert Decimal("0.75") == provider.charged


def test_failures_are_free_as_the_policy_says(client: httpx.Client) -> None:
    """And so is what was never answered; an answer that says it cost nothing did."""
    with fake_provider(ACME, script='500, 503, drop, 200 body {"ok": false}, 200 body {"cached": true}') as provider:
        answers = [client.post(f"{provider.url}/search") for _ in range(2)]
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(f"{provider.url}/search")
        before = provider.charged
        client.post(f"{provider.url}/search", json={"browser": True})
        client.post(f"{provider.url}/search")

        assert [{"error": {"code": "BUSY"}, "usage": {"credits": 0}}, {"error": {"code": "DOWN"}}] == [
            answer.json() for answer in answers
        ]
        assert Decimal(0) == before
        assert [0, 0, 0, 5, Decimal("0.1")] == [request.charged for request in provider.requests]


def test_what_a_script_writes_is_what_the_call_costs(client: httpx.Client) -> None:
    """A body or a header of its own is left as it is, and so is a stream."""
    script = '200 body {"usage": {"credits": 3}}, 200 header X-Cost 7, success'
    with fake_provider(ACME, script=script) as provider:
        body = client.post(f"{provider.url}/search").json()
        header = client.get(f"{provider.url}/page").headers["X-Cost"]
        stream = client.post(f"{provider.url}/stream").text

        assert ({"usage": {"credits": 3}}, "7") == (body, header)
        assert 'data: {"usage": {"credits": 4}}\n\n' == stream
        assert [3, 7, 4] == [request.charged for request in provider.requests]


def test_what_the_page_says_of_an_answer_is_what_the_call_costs(client: httpx.Client) -> None:
    """And what the answer tells then."""
    with fake_provider(ACME, script="203") as provider:
        answer = client.post(f"{provider.url}/search", json={"browser": True})

        assert ({"cached": True, "usage": {"credits": 0.1}}, Decimal("0.1")) == (answer.json(), provider.charged)


def test_where_the_policy_knows_no_cost_the_documented_answer_does(client: httpx.Client) -> None:
    """A provider charges, whether its client knows or not."""
    with fake_provider(ACME) as provider:
        assert 8 == client.post(f"{provider.url}/odd").json()["usage"]["credits"]
        assert Decimal(8) == provider.charged


def test_an_account_that_is_overdrawn_pays_for_what_is_free() -> None:
    """A job that cost more than was held has still to be paid."""
    accounts = Accounts(ACME, Documented(ACME), 2)
    json_type = (("Content-Type", "application/json"),)
    done = b'{"id": "j", "state": "done", "usage": {"credits": 5}}'

    settled = [
        accounts.settle(
            Asked(method, path, {}, b'{"urls": [1]}'),
            Step(body="x" if body == done else None),
            Reply(200, json_type, body),
        )
        for method, path, body in (
            ("POST", b"/batch", b'{"job": "j"}'),
            ("GET", b"/jobs/j", done),
            ("GET", b"/usage", b"{}"),
        )
    ]

    assert [(200, 0), (200, 5), (200, 0)] == [(each.reply.status, each.charged) for each in settled]
    assert "0" == dict(settled[-1].reply.headers)["X-Left"]


def test_a_success_that_tells_nothing_is_made_to_tell() -> None:
    """A field is added; failures and pages are left alone."""
    accounts = Accounts(ACME, Documented(ACME))
    asked = Asked("POST", b"/search", {}, b"")

    settled = accounts.settle(asked, Step(), Reply(200, (("Content-Type", "application/json"),), b"{}"))

    assert {"usage": {"credits": 1}} == json.loads(settled.reply.body)


def test_without_credits_nothing_is_charged(client: httpx.Client) -> None:
    """Neither by a policy that says nothing of them, nor where nobody knows what a call costs."""
    free = Policy.model_validate({**DATA, "credits": None})
    with fake_provider(free) as provider:
        assert 15 == client.post(f"{provider.url}/search").json()["usage"]["credits"]
        assert (Decimal(0), {}) == (provider.charged, provider.charged_by)
    with fake_provider(ACME) as provider:
        client.post(f"{provider.url}/elsewhere")
        assert Decimal(0) == provider.charged


def test_an_account_without_credits_is_refused_as_documented(client: httpx.Client) -> None:
    """With what is left; that costs nothing, and what costs no more than is left goes on."""
    with fake_provider(ACME, balance=6) as provider:
        url = f"{provider.url}/search"
        answers = [client.post(url, json={"browser": browser}) for browser in (True, True, False, False)]
        free = client.get(f"{provider.url}/usage")
        failure = client.post(f"{provider.url}/jobs", json={})

        assert [200, 402, 200, 402] == [answer.status_code for answer in answers]
        assert ["1", "1", "0", "0", "0"] == [answer.headers["X-Left"] for answer in (*answers, free)]
        assert {"code": "EMPTY", "message": "cost 10, balance 1."} == answers[1].json()["error"]
        assert {"left": 0} == free.json()
        assert 200 == failure.status_code
        assert Decimal(6) == provider.charged
        assert [5, 0, 1, 0, 0, 0] == [request.charged for request in provider.requests]


def test_where_no_such_answer_is_documented_the_status_says_it(client: httpx.Client) -> None:
    """402, RFC 9110 section 15.5.3; a free failure is answered all the same."""
    bare = Policy.model_validate({**DATA, "examples": DATA["examples"][:-1]})
    with fake_provider(bare, balance="0.5", script="success, 500") as provider:
        answers = [client.post(f"{provider.url}/search") for _ in range(2)]

    assert [(402, b""), (500, answers[1].content)] == [(answer.status_code, answer.content) for answer in answers]


def test_each_account_has_a_balance_of_its_own(client: httpx.Client) -> None:
    """Named by the digest that the layers know it by; without an end nothing of it is told."""
    with fake_provider(ACME, balance=1) as provider:
        url = f"{provider.url}/search"
        keys = ["one", "one", "two", None]
        statuses = [client.post(url, headers={} if key is None else {"X-Acme-Key": key}).status_code for key in keys]

        names = [
            account_of(ACME.account, httpx.Request("GET", url, headers={"X-Acme-Key": key})) for key in ("one", "two")
        ]
        assert [200, 402, 200, 200] == statuses
        assert {names[0]: 1, names[1]: 1, "-": 1} == provider.charged_by
    with fake_provider(ACME) as provider:
        assert "X-Left" not in client.post(f"{provider.url}/search").headers


def test_a_job_is_paid_for_when_it_has_ended(client: httpx.Client) -> None:
    """Each has a name of its own, and the answer to a poll tells what it cost; a second poll costs nothing."""
    with fake_provider(
        ACME, script='success *2, 200 body {"id": "j-2", "state": "lost", "usage": {"credits": 0}}, success ...'
    ) as provider:
        ids = [client.post(f"{provider.url}/batch", json={"urls": [1] * size}).json()["job"] for size in (3, 4)]
        began = provider.charged
        lost = client.get(f"{provider.url}/jobs/j-2").json()["usage"]["credits"]
        told = [client.get(f"{provider.url}/jobs/{name}").json() for name in ("j", "j", "j-2")]

        assert (["j", "j-2"], 0) == (ids, began)
        assert (0, [6, 0, 0]) == (lost, [body["usage"]["credits"] for body in told])
        assert ["j", "j", "j-2"] == [body["id"] for body in told]
        assert Decimal(6) == provider.charged


def test_to_ask_about_a_job_may_cost_something_too() -> None:
    """Each time; the answer tells what the job has cost."""
    costs = [{"operations": "job", "cost": 1}, *DATA["credits"]["costs"]]
    dear = Policy.model_validate({**DATA, "credits": {**DATA["credits"], "costs": costs}})
    documented = Documented(dear)
    accounts = Accounts(dear, documented, 8)
    calls = [Asked("POST", b"/batch", {}, b'{"urls": [1, 2, 3]}'), *[Asked("GET", b"/jobs/j", {}, b"")] * 3]

    settled = [
        accounts.settle(asked, Step(), documented.reply(Step(), asked.method, asked.url.raw_path.decode()))
        for asked in calls
    ]

    assert [(202, 0), (200, 7), (200, 1), (402, 0)] == [(each.reply.status, each.charged) for each in settled]
    assert [6, 0] == [json.loads(each.reply.body)["usage"]["credits"] for each in settled[1:3]]


def test_what_a_job_will_cost_is_held() -> None:
    """Nothing else is paid with it, and the poll that ends it is never refused."""
    accounts = Accounts(ACME, Documented(ACME), 10)
    steps = Step()

    def ask(method: str, path: str, body: Any = None) -> tuple[int, Decimal]:
        asked = Asked(method, path.encode(), {}, json.dumps(body or {}).encode())
        reply = Documented(ACME).reply(steps, method, path)
        settled = accounts.settle(asked, steps, reply)
        return settled.reply.status, settled.charged

    assert (202, 0) == ask("POST", "/batch", {"urls": [1, 2, 3]})
    assert (402, 0) == ask("POST", "/search", {"browser": True})
    assert (402, 0) == ask("POST", "/batch", {"urls": [1, 2, 3]})
    assert (200, 4) == ask("POST", "/search", {"urls": [1] * 4})
    assert (200, 6) == ask("GET", "/jobs/j")
    assert {"-": Decimal(10)} == accounts.charged


@pytest.mark.parametrize(("first", "second"), [(41, 42), ("41", "42"), ("a", "a-2")])
def test_the_name_of_a_second_job_has_the_form_of_the_first(first: Any, second: Any) -> None:
    """A number stays a number, a text a text."""
    accounts = Accounts(ACME, Documented(ACME))
    reply = Reply(202, (("Content-Type", "application/json"),), json.dumps({"job": first}).encode())

    bodies = [accounts.settle(Asked("POST", b"/batch", {}, b""), Step(), reply).reply.body for _ in range(2)]

    assert [{"job": first}, {"job": second}] == [json.loads(body) for body in bodies]


def test_accounts_and_jobs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further accounts share one, and further jobs are paid for at once."""
    monkeypatch.setattr("resilience._fake_account._MOST_ACCOUNTS", 2)
    monkeypatch.setattr("resilience._fake_account._MOST_JOBS", 1)
    accounts = Accounts(ACME, Documented(ACME))
    reply = Reply(202, (("Content-Type", "application/json"),), b'{"job": "a"}')

    for key in ("a", "a", "b", "c", "d"):
        accounts.settle(Asked("POST", b"/batch", {"X-Acme-Key": key}, b""), Step(), reply)

    assert [2, 0, 2] == list(accounts.charged.values())
    assert "others" == list(accounts.charged)[-1]


def test_parallel_calls_never_spend_more_than_there_is() -> None:
    """Looking and charging is one step: a balance of 10 pays for exactly ten of fifty calls."""
    with fake_provider(ACME, balance=10) as provider, httpx.Client(trust_env=False) as client:
        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(lambda _: client.post(f"{provider.url}/search").status_code, range(50)))

        assert {200: 10, 402: 40} == {status: statuses.count(status) for status in set(statuses)}
        assert Decimal(10) == provider.charged


def test_accounts_are_safe_for_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks: no amount is lost and none is paid twice."""
    alone: list[bool] = []
    real = Accounts._left

    def left(accounts: Accounts, account: Any) -> int:
        alone.append(accounts._lock.locked())
        return real(accounts, account)

    monkeypatch.setattr(Accounts, "_left", left)
    accounts = Accounts(ACME, Documented(ACME), 30)
    reply = Documented(ACME).reply(Step(), "POST", "/search")
    statuses: list[int] = []

    def work() -> None:
        asked = Asked("POST", b"/search", {}, b"")
        statuses.extend(accounts.settle(asked, Step(), reply).reply.status for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [True] * 40 == alone
    assert {"-": Decimal(30)} == accounts.charged
    assert [200] * 30 + [402] * 10 == sorted(statuses)


def test_a_request_that_did_not_come_whole_costs_nothing(client: httpx.Client) -> None:
    """The provider never got to do anything."""
    with fake_provider(ACME) as provider:
        address = (httpx.URL(provider.url).host, httpx.URL(provider.url).port)
        with socket.create_connection(address, timeout=10) as half:
            half.sendall(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{}")
            half.shutdown(socket.SHUT_WR)
            while half.recv(1024):
                pass
        client.post(f"{provider.url}/search")

        assert Decimal(1) == provider.charged


def test_a_body_counts_up_to_the_size_that_the_layers_read(client: httpx.Client) -> None:
    """A larger one costs the most, on both sides."""
    small = json.dumps({"urls": [1, 2]}).encode().ljust(1024 * 1024)
    with fake_provider(ACME) as provider:
        answers = [client.post(f"{provider.url}/search", content=body) for body in (small, small + b" ")]

        assert [2, 100] == [answer.json()["usage"]["credits"] for answer in answers]
        assert [64 * 1024] * 2 == [len(request.body) for request in provider.requests]


@pytest.mark.parametrize("balance", ["ten", -1, "", float("nan"), 10**10, True])
def test_a_balance_is_an_amount(balance: Any) -> None:
    """Anything else is refused before anything is started."""
    with pytest.raises(ConfigurationError, match=r"the balance .* is no amount; write a number such as 10 or 0\.5"):
        fake_provider(ACME, balance=balance).__enter__()


def test_a_balance_needs_a_policy_that_knows_what_calls_cost() -> None:
    """It would never be used."""
    with pytest.raises(ConfigurationError, match="'acme' does not say what calls cost.*write its 'credits'"):
        fake_provider(Policy.model_validate({**DATA, "credits": None}), balance=1).__enter__()


def test_the_command_line_takes_a_balance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And hands it on; one that is none is an error."""
    application = typer.Typer()
    application.command()(resilience.cli._fake_provider.fake_provider)
    given: list[Any] = []
    file = tmp_path / "acme.yaml"
    file.write_text(json.dumps(DATA))
    bad = CliRunner().invoke(application, [str(file), "--balance", "ten"])
    monkeypatch.setattr(
        resilience.cli._fake_provider, "serve", lambda name, **options: given.append(options["balance"])
    )

    for arguments in ([], ["--balance", "10.5"]):
        CliRunner().invoke(application, [str(file), *arguments])

    assert [None, "10.5"] == given
    assert isinstance(bad.exception, ConfigurationError)
    assert "the balance 'ten' is no amount" in str(bad.exception)


REQUESTS = st.one_of(
    st.tuples(st.just("POST"), st.just("/search"), st.fixed_dictionaries({}, optional={"browser": st.booleans(), "urls": st.lists(st.none(), max_size=5)})),
    st.tuples(st.just("GET"), st.sampled_from(["/page", "/page?large=1", "/usage", "/jobs/j", "/jobs/j-2"]), st.just({})),
    st.tuples(st.just("POST"), st.just("/batch"), st.fixed_dictionaries({"urls": st.lists(st.none(), max_size=5)})),
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(st.tuples(REQUESTS, st.sampled_from([None, 500, 503, 200])), max_size=12), st.integers(0, 12))
def test_what_answers_say_is_what_was_charged(calls: list[Any], balance: int) -> None:
    """Whoever reads the answers as the layers do comes to the provider's own count, and never above the balance."""
    documented = Documented(ACME)
    accounts = Accounts(ACME, documented, balance)
    counted = Decimal(0)
    jobs: dict[str, Decimal] = {}
    for (method, target, body), status in calls:
        path = target.partition("?")[0]
        asked = Asked(method, target.encode(), {}, json.dumps(body).encode())
        step = Step(status=status)
        reply = accounts.settle(asked, step, documented.reply(step, method, path)).reply

        operation = ACME.operation_finder.find(method, path)
        answer = Answer(reply.status, FoldedHeaders(dict(reply.headers)), method, operation)
        reader = reader_of(ACME, operation)
        assert reader is not None
        reader.fill(answer, reply.body, complete=True)
        verdict = ACME.classify(method=method, url=path, status=reply.status, headers=answer.headers, body=reply.body)
        said = reader.read(answer, verdict, path)
        query = {"large": ["1"]} if "?" in target else dict[str, list[str]]()
        document = body
        worst = worst_case(
            ACME, RequestView(operation, asked.headers, lambda query=query: query, lambda document=document: document)
        )  # type: ignore[misc]
        assert worst is not None
        if said.job is not None:
            jobs[said.job] = worst
            continue
        if said.ended is not None:
            worst = jobs.pop(said.ended, worst)
        counted += worst if said.charged is None else said.charged
        assert said.charged is None or said.charged <= worst

    assert counted == sum(accounts.charged.values())
    assert millionths(counted) <= balance * 1_000_000
