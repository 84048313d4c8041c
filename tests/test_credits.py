"""The credit guard: what calls may cost is reserved before anything is sent, and settled on what their answers say."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx
import pytest

import resilience
import resilience.httpx
from resilience import Policy, Trail, load_policy, trail_of
from resilience._clock import Closing
from resilience._transactions import Command
from resilience.stores import open_store
from resilience.testing import VirtualClock

HOST = "provider.test"
URL = f"https://{HOST}/scrape"
Handler = Callable[[httpx.Request], httpx.Response]


def policy(costs: Any = ({"cost": 5},), *, rules: Any = (), operations: Any = None, **parts: Any) -> Policy:
    """A provider whose calls cost five credits, if nothing else is said."""
    return Policy.model_validate(
        {
            "version": 1,
            "provider": "provider",
            "match": {"hosts": [HOST]},
            "account": {"headers": ["x-api-key"]},
            "operations": operations or {"scrape": {"path": "/scrape"}, "free": {"path": "/free"}},
            "envelopes": [{"code": "code", "message": "error"}],
            "retry": {"max_attempts": 2, "backoff": {"initial": "1s", "jitter": "none"}, "spread": 0},
            "breaker": {"off": True},
            "answers": list(rules),
            "credits": {"costs": list(costs), "charged": "billing.charged", **parts},
        }
    )


class Shop:
    """A client of a provider that answers as a test says, on virtual time."""

    def __init__(
        self,
        made: Policy,
        answers: Any = None,
        budgets: Any = ("10 credits/day",),
        wall: float = 1_767_225_600.0,
        **config: Any,
    ) -> None:
        self.clock = VirtualClock(wall=wall)
        self.requests: list[httpx.Request] = []
        self._answers = answers or (lambda _: httpx.Response(200, json={}))
        rows = [
            each if isinstance(each, dict) else {"name": f"b{at}", "limit": each} for at, each in enumerate(budgets)
        ]
        transport: Any = resilience.httpx.Transport(
            httpx.MockTransport(self._handle),
            policies=[made],
            config={"version": 1, "providers": {made.provider: {"budgets": rows, "ledger": True}}, **config},
            clock=self.clock,
        )
        self.client = httpx.Client(transport=transport, headers={"x-api-key": "key-1"})
        self.store = open_store(clock=self.clock)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers(request) if callable(self._answers) else self._answers[len(self.requests) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call(self, url: str = URL, *, options: Mapping[str, Any] | None = None, **named: Any) -> httpx.Response:
        return self.client.post(url, extensions={"resilience": dict(options or {})}, **named)

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds, Closing())

    def budget(self, name: str = "b0") -> dict[str, Any]:
        """The state of the latest period of a budget."""
        return [state for key, state in self.store.scan("{provider}:credits:") if f":{name}@" in key][-1]

    def spent(self, name: str = "b0") -> Decimal:
        return Decimal(sum(amount for _, amount in self.budget(name)["slots"])) / 1_000_000

    def rows(self) -> list[list[Any]]:
        """The ledger: outcome, what was reserved and charged, in millionths."""
        found = [row for _, state in self.store.scan("{provider}:ledger:") for row in state["rows"]]
        # Names end in a counter, in hexadecimal: after `f` comes `10`.
        return [[row[6], row[5], row[7]] for row in sorted(found, key=lambda row: (row[0], len(row[1]), row[1]))]


def good(charged: Any = None) -> httpx.Response:
    return httpx.Response(200, json={} if charged is None else {"billing": {"charged": charged}})


def trail(answer: object) -> Trail:
    found = trail_of(answer)
    assert found is not None
    return found


def test_a_call_that_does_not_fit_is_refused_before_anything_is_sent() -> None:
    """In the shape of a 402, with what was needed, what is left, and when there is more."""
    shop = Shop(policy())

    statuses = [shop.call().status_code for _ in range(3)]
    refused = shop.call()

    assert [200, 200, 402] == statuses
    assert 2 == len(shop.requests)
    assert "credits" == refused.headers["x-resilience-refused"]
    assert str(24 * 3600) == refused.headers["retry-after"]
    assert "false" == refused.headers["x-should-retry"]
    message = refused.json()["error"]
    assert "b0 (10 credits/day) has 0 left, and this call may cost 5 credits (10 spent, 0 reserved" in message
    assert ["credits"] == [each.layer for each in trail(refused).refusals]


@pytest.mark.parametrize(
    ("budgets", "again"),
    [
        (("10 credits/hour", "10 credits/day"), 86_400),
        (("10 credits/day", "10 credits/hour"), 86_400),
        (("10 credits/hour", "2 requests"), None),
        (({"name": "any", "limit": "10 credits/day", "rolling": True}, "10 credits/day", "10 credits/hour"), 87_840),
        (("2 requests", {"name": "any", "limit": "10 credits/year", "rolling": True}), None),
    ],
)
def test_of_several_budgets_the_last_one_to_have_room_says_when(budgets: Any, again: int | None) -> None:
    """A call that comes back then is let through, and not refused by the next budget."""
    shop = Shop(policy(), budgets=budgets)
    shop.call()
    shop.call()

    refused = shop.call()

    assert again == (int(refused.headers["retry-after"]) if "retry-after" in refused.headers else None)
    shop.wait(again or 0)
    assert (200 if again else 402) == shop.call().status_code


def test_what_the_answer_says_is_what_counts() -> None:
    """Less than was reserved is free again, to the last millionth; more is counted too."""
    shop = Shop(policy(), [good(0.1), good("0.000001"), good(12.5), good()])

    shop.call()
    assert Decimal("0.1") == shop.spent()
    shop.call()
    assert Decimal("0.100001") == shop.spent()
    shop.call()
    assert Decimal("12.600001") == shop.spent()
    assert 402 == shop.call().status_code
    assert [
        ["settled", 5_000_000, 100_000],
        ["settled", 5_000_000, 1],
        ["settled", 5_000_000, 12_500_000],
    ] == shop.rows()


def test_failures_are_free_and_each_attempt_reserves_anew() -> None:
    """A call that is sent again after a 500 costs what its last attempt costs."""
    shop = Shop(policy(), [httpx.Response(503), good()])

    answer = shop.call(options={"repeatable": True})

    assert 200 == answer.status_code
    assert Decimal(5) == shop.spent()
    assert [["failed", 5_000_000, 0], ["settled", 5_000_000, 5_000_000]] == shop.rows()
    assert [(Decimal(0), "failed"), (Decimal(5), "settled")] == [
        (each.amount, each.outcome) for each in trail(answer).charges
    ]


@pytest.mark.parametrize(("unanswered", "spent"), [("charged", 5), ("free", 0)])
def test_a_call_that_is_never_answered_counts_as_the_policy_says(unanswered: str, spent: int) -> None:
    """By default its worst case: the provider may have charged it."""
    shop = Shop(policy(unanswered=unanswered), [httpx.ReadTimeout("late")])

    with pytest.raises(httpx.ReadTimeout):
        shop.call()

    assert spent == shop.spent()
    assert [["unanswered", 5_000_000, spent * 1_000_000]] == shop.rows()


def test_what_never_left_costs_nothing() -> None:
    """A connection that was refused is no call to anybody who charges."""
    shop = Shop(policy(), [httpx.ConnectError("no"), httpx.ConnectError("no")])

    with pytest.raises(httpx.ConnectError):
        shop.call()

    assert Decimal(0) == shop.spent()
    assert 0 == shop.budget()["reserved"]
    assert [] == shop.rows()


def test_an_unknown_cost_is_refused_and_never_zero() -> None:
    """Until somebody says what it is: the call, or the policy."""
    shop = Shop(policy(costs=[{"operations": "free", "cost": 0}]))

    refused = shop.call()
    said = shop.call(options={"credits": "2.5"})

    assert 402 == refused.status_code
    assert "nobody knows what the operation scrape may cost" in refused.json()["error"]
    assert 200 == said.status_code
    assert Decimal("2.5") == shop.spent()
    assert 200 == shop.call(f"https://{HOST}/free").status_code
    assert 200 == Shop(policy(costs=[], unknown_cost=7)).call().status_code


def test_requests_are_a_unit_of_their_own() -> None:
    """Each attempt that is sent is one, whatever it costs and means."""
    shop = Shop(policy(), [httpx.Response(503), good(), httpx.Response(404)], budgets=["3 requests/hour"])

    shop.call(options={"repeatable": True})
    shop.call()
    refused = shop.call()

    assert 3 == len(shop.requests)
    assert "3 requests/hour" in refused.json()["error"]
    assert Decimal(3) == shop.spent()


def test_a_new_day_is_a_new_budget() -> None:
    """By the calendar of the named zone."""
    berlin = {"name": "b0", "limit": "5 credits/day", "timezone": "Europe/Berlin"}
    shop = Shop(policy(), budgets=[berlin], wall=1_767_225_600.0 + 22.5 * 3600)

    assert 200 == shop.call().status_code
    refused = shop.call()
    shop.wait(1800)

    assert 402 == refused.status_code
    assert "1800" == refused.headers["retry-after"]
    assert 200 == shop.call().status_code


def test_a_rolling_budget_frees_what_has_left_its_window() -> None:
    """And says when that will be: at most a sixtieth of the window later than the charge is old."""
    shop = Shop(policy(), budgets=[{"name": "b0", "limit": "10 credits/hour", "rolling": True}])
    shop.call()
    shop.wait(1800)
    shop.call()

    refused = shop.call()
    shop.wait(float(refused.headers["retry-after"]))

    assert 402 == refused.status_code
    assert 1800 <= int(refused.headers["retry-after"]) <= 1860
    assert [200, 402] == [shop.call().status_code, shop.call().status_code]


def test_budgets_count_apart_what_they_are_told_to() -> None:
    """Accounts, operations, and tags of a context or of one call."""
    shop = Shop(policy(), budgets=[{"name": "b0", "limit": "5 credits/day", "per": ["account", "tag.tenant"]}])

    with resilience.tags(tenant="acme"):
        acme = [shop.call().status_code for _ in range(2)]
    with resilience.tags(tenant="acme", job=3):
        other = shop.call(options={"tags": {"tenant": "other"}}).status_code
    nobody = shop.call().status_code
    second = shop.call(headers={"x-api-key": "key-2"}, options={"tags": {"tenant": "acme"}}).status_code

    assert ([200, 402], 200, 200, 200) == (acme, other, nobody, second)
    keys = [key for key, _ in shop.store.scan("{provider}:credits:")]
    assert 4 == len(keys)
    assert any(key.endswith(":tag.tenant=acme") for key in keys)
    assert not any("key-1" in key for key in keys)


def test_a_soft_budget_warns_and_lets_through(caplog: pytest.LogCaptureFixture) -> None:
    """Once, by the log and by a callback; a callback that raises harms nothing."""
    heard: list[resilience.BudgetWarning] = []

    def callback(warning: resilience.BudgetWarning) -> None:
        heard.append(warning)
        raise RuntimeError("mine")

    remove = resilience.on_budget_warning(callback)
    shop = Shop(policy(), budgets=[{"name": "b0", "limit": "20 credits/day", "hard": False, "warn_at": 0.5}])

    statuses = [shop.call().status_code for _ in range(6)]
    remove()

    assert [200] * 6 == statuses
    assert [("b0", Decimal(20))] == [(each.budget, each.limit) for each in heard]
    assert 1 == sum("of the budget b0 is used" in record.getMessage() for record in caplog.records)


def test_an_account_without_credits_is_shut_until_one_call_finds_it_open() -> None:
    """One call looks at a time; it may be in vain, and then the next one looks later."""
    answers = [httpx.Response(402, json={"code": "no"}), httpx.Response(402), good(), good()]
    shop = Shop(policy(recheck="60s"), answers)

    assert 402 == shop.call().status_code
    shut = shop.call()
    shop.wait(60)
    assert "x-resilience-refused" not in shop.call().headers
    shop.wait(60)
    assert "credits" == shop.call().headers["x-resilience-refused"]
    shop.wait(60)
    statuses = [shop.call().status_code for _ in range(2)]

    assert "credits" == shut.headers["x-resilience-refused"]
    assert "60" == shut.headers["retry-after"]
    assert "the provider has shut this account" in shut.json()["error"]
    assert 4 == len(shop.requests)
    assert [200, 200] == statuses


def test_another_account_is_not_shut() -> None:
    """The key of the latch is the account's."""
    shop = Shop(policy(), lambda request: httpx.Response(402 if request.headers["x-api-key"] == "key-1" else 200))

    shop.call()

    assert 402 == shop.call().status_code
    assert 200 == shop.call(headers={"x-api-key": "key-2"}).status_code
    assert 2 == len(shop.requests)


@pytest.mark.parametrize("budgets", [(), ("10 credits/day",)])
def test_what_costs_nothing_passes_a_latch(budgets: tuple[str, ...]) -> None:
    """The result of a job that was paid for, the question what is left; it opens nothing."""
    made = policy(costs=[{"operations": "free", "cost": 0}, {"cost": 5}])
    shop = Shop(made, [httpx.Response(402), good(), good()], budgets=budgets)
    shop.call()

    free = shop.call(f"https://{HOST}/free")

    assert (200, 402, 2) == (free.status_code, shop.call().status_code, len(shop.requests))


def test_a_job_that_was_begun_opens_a_latch() -> None:
    """The provider took the call, whatever it will cost."""
    answers = [httpx.Response(402), httpx.Response(202, json={"id": "j-1"}), httpx.Response(202, json={"id": "j-2"})]
    shop = Shop(job_policy(), answers)

    shop.call(f"https://{HOST}/jobs")
    shop.wait(300)
    statuses = [shop.call(f"https://{HOST}/jobs").status_code for _ in range(2)]

    assert [202, 202] == statuses


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("acme", "acme"),
        ("anna@shop.example", "anna%40shop.example"),
        ("a:b/c", "a%3Ab%2Fc"),
        ("-", "%2D"),
        ("~x", "%7Ex"),
    ],
)
def test_a_tag_can_be_read_in_a_key(value: str, part: str) -> None:
    """As in a URL; a long one is a digest."""
    shop = Shop(policy(), budgets=[{"name": "b0", "limit": "10 credits/day", "per": "tag.tenant"}])

    shop.call(options={"tags": {"tenant": value}})
    shop.call(options={"tags": {"tenant": value * 200}} if len(value) == 1 else {"tags": {"tenant": "x" * 150}})

    keys = sorted(key.rpartition("=")[2] for key, _ in shop.store.scan("{provider}:credits:b0"))
    assert part in keys
    assert any(key.startswith("~") and len(key) == 17 for key in keys)


def test_while_calls_are_under_way_nobody_knows_when_there_is_more() -> None:
    """They may cost less at any moment, so no time is told; when all is spent, the end of the period is."""
    seen: list[httpx.Response] = []

    def answer(_: httpx.Request) -> httpx.Response:
        if not seen:
            seen.append(shop.call())
        return good(1)

    shop = Shop(policy(), answer, budgets=["5 credits/day"])
    shop.call()

    assert 402 == seen[0].status_code
    assert "retry-after" not in seen[0].headers
    assert "5 reserved by calls under way" in seen[0].json()["error"]


def test_a_charge_beyond_the_worst_case_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """It counts, and its user should know."""
    shop = Shop(policy(), [good(100)], budgets=["10 credits/day"])

    shop.call()

    assert Decimal(100) == shop.spent()
    assert any("has cost 100 credits, and 5 was its worst case" in record.getMessage() for record in caplog.records)


def test_a_log_that_fails_loses_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of the application's raises where a charge is told: what has been paid is handed over, and counts."""

    def fail(record: logging.LogRecord) -> bool:
        raise ValueError(record.getMessage())

    monkeypatch.setattr(logging.getLogger("resilience.credits"), "filters", [fail])
    shop = Shop(policy(), [good(100)], budgets=["10 credits/day"])

    assert 200 == shop.call().status_code
    assert Decimal(100) == shop.spent()


def test_latches_hold_without_any_budget_too() -> None:
    """The provider's word counts for everybody, and opens as for everybody."""
    shop = Shop(policy(recheck="60s"), [httpx.Response(402), good(), good()], budgets=[])
    shop.store.close()

    statuses = [shop.call().status_code, shop.call().status_code]
    shop.wait(60)
    statuses += [shop.call().status_code, shop.call().status_code]

    assert [402, 402, 200, 200] == statuses
    assert 3 == len(shop.requests)


def test_a_stated_reset_is_waited_for() -> None:
    """`until: next_month_utc`: no call looks before."""
    rule = {"rule": "quota", "when": {"status": 402}, "category": "quota_exhausted", "until": "next_month_utc"}
    shop = Shop(policy(rules=[rule]), [httpx.Response(402), good()])

    shop.call()
    shut = shop.call()
    shop.wait(31 * 86_400 - 1)
    still = shop.call()
    shop.wait(1.001)

    assert str(31 * 86_400) == shut.headers["retry-after"]
    assert 402 == still.status_code
    assert 200 == shop.call().status_code
    assert 2 == len(shop.requests)


def test_a_permission_shuts_its_operation_and_nothing_else() -> None:
    """As a rule says; the account goes on."""
    rule = {"rule": "locked", "when": {"status": 402, "code": "LOCKED"}, "category": "permission", "latch": "operation"}
    shop = Shop(policy(rules=[rule]), [httpx.Response(402, json={"code": "LOCKED"}), good()])

    shop.call()
    shut = shop.call()
    free = shop.call(f"https://{HOST}/free")

    assert (402, 200) == (shut.status_code, free.status_code)
    assert "the provider has shut scrape for this account" in shut.json()["error"]
    assert 2 == len(shop.requests)


def test_a_latch_is_lifted_by_hand() -> None:
    """What `resilience credits unlatch` does."""
    shop = Shop(policy(), [httpx.Response(402), good()])
    shop.call()
    latches = tuple(key for key, _ in shop.store.scan("{provider}:latch:"))

    shop.store.run(Command("latch.lift", latches), shop.clock.now())

    assert 200 == shop.call().status_code


def test_the_provider_s_balance_is_heeded() -> None:
    """A call that costs more than is left is not sent, a cheaper one is; after a while one call finds out."""
    made = policy(
        costs=[{"operations": "free", "cost": 2}, {"cost": 10}],
        rules=[{"rule": "dear", "when": {"status": 402}, "category": "credits_exhausted", "latch": "none"}],
        balance=[{"body": "error", "after": "balance "}],
        recheck="60s",
    )
    answers = [httpx.Response(402, json={"error": "cost 10, balance 8"}), good(2), good(10)]
    shop = Shop(made, answers, budgets=["100 credits/day"])

    shop.call()
    refused = shop.call()
    cheaper = shop.call(f"https://{HOST}/free")
    again = shop.call()
    shop.wait(60)

    assert (402, 200, 402) == (refused.status_code, cheaper.status_code, again.status_code)
    assert "the account's balance" in refused.json()["error"]
    assert "has 8 left" in refused.json()["error"]
    assert "has 6 left" in again.json()["error"]
    assert 200 == shop.call().status_code
    assert 3 == len(shop.requests)


def job_policy(lease: str = "1h") -> Policy:
    return policy(
        operations={"submit": {"path": "/jobs"}, "poll": {"path": "/jobs/{id}"}},
        costs=[{"operations": "poll", "cost": 0}, {"cost": 5}],
        jobs=[
            {
                "submit": "submit",
                "id": "id",
                "poll": "poll",
                "ended": {"status": 200, "body": {"status": ["done", "failed"]}},
                "lease": lease,
            }
        ],
        charges=[{"when": {"body": {"status": "failed"}}, "cost": 0}],
    )


@pytest.mark.parametrize(
    ("end", "spent"), [({"status": "done", "billing": {"charged": 3}}, 3), ({"status": "failed"}, 0)]
)
def test_a_job_is_settled_when_it_has_ended(end: dict[str, Any], spent: int) -> None:
    """Until then its worst case stays reserved, whoever asks."""
    answers = [
        httpx.Response(202, json={"id": "j-1"}),
        httpx.Response(200, json={"status": "running"}),
        httpx.Response(200, json=end),
        httpx.Response(200, json=end),
    ]
    shop = Shop(job_policy(), answers)

    shop.call(f"https://{HOST}/jobs")
    shop.wait(3000)
    shop.call(f"https://{HOST}/jobs/j-1")
    assert (Decimal(0), 5_000_000) == (shop.spent(), shop.budget()["reserved"])
    shop.call(f"https://{HOST}/jobs/j-1")
    shop.call(f"https://{HOST}/jobs/j-1")

    assert (Decimal(spent), 0) == (shop.spent(), shop.budget()["reserved"])
    assert [["job", 5_000_000, spent * 1_000_000]] == [row for row in shop.rows() if row[0] == "job"]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_two_calls_that_begin_one_job_are_two_requests(lost: int) -> None:
    """As where an idempotency key goes with both: the job is paid for once, and each of them was sent."""
    end = httpx.Response(200, json={"status": "done", "billing": {"charged": 3}})
    begun = [httpx.Response(202, json={"id": "j-1"}) for _ in range(2)]
    shop = Shop(job_policy(), [*begun, end], budgets=["20 credits", "10 requests"])

    for _ in begun:
        shop.call(f"https://{HOST}/jobs")
        shop.wait(3601 if lost else 0)
        lost -= 1
    shop.call(f"https://{HOST}/jobs/j-1")

    assert (Decimal(3), Decimal(3)) == (shop.spent(), shop.spent("b1"))
    assert (0, 0) == (shop.budget()["reserved"], shop.budget("b1")["reserved"])


def test_the_answer_may_name_the_job() -> None:
    """Where no path does; it is read before it is handed on, and handed on whole."""
    made = job_policy()
    job = made.credits.jobs[0].model_copy(update={"poll_id": "id"}) if made.credits else None
    made = made.model_copy(
        update={"credits": made.credits.model_copy(update={"jobs": (job,)}) if made.credits else None}
    )
    end = {"id": "j-1", "status": "done", "billing": {"charged": 3}}
    shop = Shop(made, [httpx.Response(202, json={"id": "j-1"}), httpx.Response(200, content=iter([json.dumps(end).encode()]),
                                                                            headers={"content-type": "application/json"})])  # fmt: skip

    shop.call(f"https://{HOST}/jobs")
    answer = shop.call(f"https://{HOST}/jobs/whatever")

    assert end == answer.json()
    assert (Decimal(3), 0) == (shop.spent(), shop.budget()["reserved"])


def test_a_job_that_nobody_asks_about_counts_as_paid_for() -> None:
    """Once its lease has ended."""
    shop = Shop(job_policy(), [httpx.Response(202, json={"id": "j-1"}), good()])

    shop.call(f"https://{HOST}/jobs")
    shop.wait(3601)
    shop.call(f"https://{HOST}/jobs/other")

    assert Decimal(5) == shop.spent()


def test_a_job_whose_end_is_told_late_is_corrected() -> None:
    """Its lease had ended, and it counted as its worst case."""
    end = httpx.Response(200, json={"status": "done", "billing": {"charged": 3}})
    shop = Shop(job_policy(), [httpx.Response(202, json={"id": "j-1"}), end])

    shop.call(f"https://{HOST}/jobs")
    shop.wait(3601)
    shop.call(f"https://{HOST}/jobs/j-1")

    assert Decimal(3) == shop.spent()
    assert Decimal(3) == Decimal(sum(row[2] for row in shop.rows())) / 1_000_000


@pytest.mark.parametrize(("lease", "seconds"), [("1h", 7 * 86_400), ("24h", 86_400)])
def test_a_job_is_counted_though_its_budget_is_over_long_ago(lease: str, seconds: int) -> None:
    """What it has cost stands in the ledger, whenever somebody asks about it within a week after its lease."""
    end = httpx.Response(200, json={"status": "done", "billing": {"charged": 3}})
    shop = Shop(job_policy(lease), [httpx.Response(202, json={"id": "j-1"}), end], budgets=["10 credits/hour"])

    shop.call(f"https://{HOST}/jobs")
    shop.wait(seconds + 3500)
    shop.call(f"https://{HOST}/jobs/j-1")

    assert Decimal(3) == Decimal(sum(row[2] for row in shop.rows())) / 1_000_000


def test_an_observed_guard_only_tells() -> None:
    """Everything is decided and recorded, and nothing refused."""
    shop = Shop(policy(), [good()] * 3, mode={"credits": "observe"})

    answers = [shop.call() for _ in range(3)]

    assert [200, 200, 200] == [answer.status_code for answer in answers]
    assert [True] == [each.observed for each in trail(answers[2]).refusals]
    assert Decimal(15) == shop.spent()


def test_switched_off_it_does_nothing() -> None:
    """No state, no refusal."""
    shop = Shop(policy(), [good()] * 3, mode={"credits": "off"})

    assert [200] * 3 == [shop.call().status_code for _ in range(3)]
    assert [] == list(shop.store.scan())


def test_refusals_are_raised_where_that_is_wanted() -> None:
    """An error of ours that is one of httpx too."""
    shop = Shop(policy(), refusals="raise")
    shop.call()
    shop.call()

    with pytest.raises(resilience.httpx.CreditLimitExceeded) as caught:
        shop.call()

    assert isinstance(caught.value, httpx.TransportError)
    assert ("credits", "provider", 86_400) == (caught.value.layer, caught.value.policy, caught.value.retry_after)


@pytest.mark.parametrize(("unanswered", "spent"), [("charged", 5), ("free", 0)])
def test_a_call_that_is_lost_is_a_request_that_was_sent(unanswered: str, spent: int) -> None:
    """As one that was never answered: what the policy says of its costs makes no difference to that."""
    budgets = ["10 credits/day", "10 requests/day", "10 requests"]
    shop = Shop(policy(unanswered=unanswered), lambda _: httpx.Response(200, content=iter([b"{}"])), budgets=budgets)
    forgotten = shop.client.send(shop.client.build_request("POST", URL), stream=True)
    shop.wait(3601)

    shop.call(f"https://{HOST}/free", options={"credits": 0})

    assert (Decimal(spent), Decimal(2), Decimal(2)) == (shop.spent(), shop.spent("b1"), shop.spent("b2"))
    forgotten.close()


def test_a_reservation_is_kept_while_its_answer_is_read() -> None:
    """However long that takes: one that nobody keeps is lost after its lease, and its worst case counts."""

    def slowly() -> Any:
        for chunk in (b'{"billing": ', b'{"charged": ', b"2}", b"}"):
            shop.wait(400)
            yield chunk

    kind = {"content-type": "application/json"}
    shop = Shop(policy(lease="600s"), lambda _: httpx.Response(200, headers=kind, content=slowly()))

    shop.call()

    assert [["settled", 5_000_000, 2_000_000]] == shop.rows()


def test_a_streamed_answer_is_settled_at_its_end() -> None:
    """Its worst case stays reserved while it is read; one that is closed before counts as that."""

    def parts() -> Any:
        yield b'{"billing": {"char'
        yield b'ged": 2}}'

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/json"}, content=parts())

    shop = Shop(policy(), answer, budgets=["20 credits/day"])
    with shop.client.stream("POST", URL) as response:
        chunks = response.iter_raw()
        next(chunks)
        assert (Decimal(0), 5_000_000) == (shop.spent(), shop.budget()["reserved"])
        list(chunks)
        assert (Decimal(2), 0) == (shop.spent(), shop.budget()["reserved"])
    with shop.client.stream("POST", URL) as response:
        next(response.iter_raw())

    assert (Decimal(7), 0) == (shop.spent(), shop.budget()["reserved"])


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("omniscrape", "POST", "/v1/scrape"),
        ("scrapio", "POST", "/v1/fetch"),
        ("anakin", "POST", "/v1/url-scraper"),
        ("technologychecker", "POST", "/v1/technology-lookup-live"),
    ],
)
def test_each_provider_s_refusal_has_its_own_shape(name: str, method: str, path: str) -> None:
    """An application that understands the provider's own 402 understands ours."""
    made = load_policy(name)
    shop = Shop(made, budgets=["0.000001"])

    refused = shop.client.request(
        method, f"https://{made.match.hosts[0]}{path}", json={}, extensions={"resilience": {"credits": 1}}
    )

    assert [] == shop.requests
    verdict = made.classify(
        method=method, url=path, status=refused.status_code, headers=dict(refused.headers), body=refused.content
    )
    assert verdict.category in {"credits_exhausted", "quota_exhausted", "rate_limited"}
    assert "has 0.000001 left" in json.dumps(refused.json())
