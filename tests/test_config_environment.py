"""Environment variables stand for the simple values of the configuration, for one process, and never in two ways."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

import resilience
from resilience._config import named_plan, policies_for
from resilience._config_read import NO_FILE, read
from resilience._environment import overridden, provider_values, values, variables
from resilience._modes import LAYERS, Mode
from resilience._registry import Policies, Source
from resilience._yaml import parse
from resilience.errors import ConfigurationError, PolicyError
from tests.test_run import CHECKOUT, python, run

OWN = "version: 1\nprovider: own\nmatch: {hosts: [own.test]}\nplans: {small: {calls: 10/minute}, big: {calls: 20/minute}}\nlimits: [{name: calls, rate: '{plan.calls}', per: provider}]\n"  # fmt: skip
FRAME = "version: 1\nshipped: false\npolicies: [own.yaml]\n"
Given = Callable[..., Policies]


@pytest.fixture
def given_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """The policies of a configuration and variables."""
    for name in [name for name in os.environ if name.startswith("RESILIENCE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(OWN)

    def make(config: str = "", **named: str) -> Policies:
        (tmp_path / "resilience.yaml").write_text(FRAME + config)
        for name, text in named.items():
            monkeypatch.setenv(f"RESILIENCE_{name}", text)
        return policies_for()

    return make


def own(policies: Policies) -> Source:
    return next(source for source in policies.sources if source.name == "own")


def told(make: Callable[[], object]) -> list[str]:
    with pytest.raises(PolicyError) as error:
        make()
    return [str(problem) for problem in error.value.problems]


def test_a_variable_stands_for_each_simple_value_of_the_file(given_all: Given) -> None:
    """It goes before what the file says."""
    policies = given_all(
        "store: redis://file:6379\nnamespace: file\nmode: observe\nrefusals: reply\nspans: never\nreload: 5s\n",
        STORE="redis://variable:6379", NAMESPACE="variable", MODE="off", REFUSALS="raise", SPANS="always", RELOAD="off",
    )  # fmt: skip

    assert ("redis://variable:6379", "variable") == (policies.store, policies.namespace)
    settings = own(policies).settings
    assert (dict.fromkeys(LAYERS, Mode.OFF), "raise", "always") == (settings.modes, settings.refusals, settings.spans)
    found = read(None)
    assert found is not None
    assert 0 == found.config.reload


def test_a_variable_stands_for_each_simple_value_of_a_provider(given_all: Given) -> None:
    """By the provider's name in capitals."""
    policies = given_all(
        "providers: {own: {plan: small, hosts: [file.test], ledger: false}}\n",
        PROVIDER_OWN_PLAN="big", PROVIDER_OWN_HOSTS="one.test, two.test:81", PROVIDER_OWN_MODE="observe",
        PROVIDER_OWN_REFUSALS="raise", PROVIDER_OWN_LEDGER="TRUE",
    )  # fmt: skip

    source = own(policies)
    assert ("one.test", "two.test:81") == source.hosts
    assert ("big", "raise", True) == (source.settings.plan, source.settings.refusals, source.settings.ledger)
    assert dict.fromkeys(LAYERS, Mode.OBSERVE) == source.settings.modes
    assert "big" == named_plan("own")


@pytest.mark.parametrize(("text", "is_off"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_a_provider_is_switched_off_and_on(text: str, is_off: bool, given_all: Given) -> None:
    """Also one that the file has switched the other way."""
    policies = given_all(f"providers: {{own: {{off: {str(not is_off).lower()}}}}}\n", PROVIDER_OWN_OFF=text)

    assert is_off is not any(source.name == "own" for source in policies.sources)


def test_which_shipped_policies_are_active(given_all: Given) -> None:
    """All, none, or those of a list."""

    def named(text: str) -> list[str]:
        return sorted(source.name for source in given_all(SHIPPED=text).sources)

    assert ["anakin", "own", "scrapio"] == named("scrapio, anakin")
    assert ["own"] == named("false")
    assert {"anakin", "55-tech"} < set(named("true"))


def test_a_name_with_signs_is_written_with_underscores(given_all: Given) -> None:
    """55-tech is 55_TECH."""
    policies = given_all(SHIPPED="55-tech", PROVIDER_55_TECH_REFUSALS="raise")

    (source,) = (each for each in policies.sources if each.name == "55-tech")
    assert "raise" == source.settings.refusals


@pytest.mark.parametrize("mode", ["observe", "{limiter: observe, breaker: observe}", "{}"])
def test_modes_of_single_layers_leave_the_others_as_they_are(mode: str, given_all: Given) -> None:
    """Whether the file has one word for all or modes by names."""
    before = given_all(f"mode: {mode}\n")
    after = given_all(f"mode: {mode}\n", MODE="limiter=off, retry=enforce")

    changed = {**own(before).settings.modes, "limiter": Mode.OFF, "retry": Mode.ENFORCE}
    assert changed == own(after).settings.modes


def test_a_providers_own_mode_goes_before_that_of_all(given_all: Given) -> None:
    """A variable stands for the key of its name, and for no other."""
    policies = given_all("providers: {own: {mode: {limiter: enforce}}}\n", MODE="off")

    assert {**dict.fromkeys(LAYERS, Mode.OFF), "limiter": Mode.ENFORCE} == own(policies).settings.modes


def test_without_a_file_the_variables_apply_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To all shipped policies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESILIENCE_REFUSALS", "raise")
    monkeypatch.setenv("RESILIENCE_PROVIDER_ANAKIN_OFF", "1")

    for config in (None, NO_FILE):
        policies = policies_for(None, config)
        assert "anakin" not in {source.name for source in policies.sources}
        assert {"raise"} == {source.settings.refusals for source in policies.sources}


def test_what_a_program_says_itself_is_final(given_all: Given, tmp_path: Path) -> None:
    """A mapping in code, or policies that are named there; a path is a file like any other."""
    given_all(NAMESPACE="variable")

    assert "resilience" == policies_for(None, {"version": 1}).namespace
    assert "resilience" == policies_for(["own.yaml"]).namespace
    assert "variable" == policies_for(None, tmp_path / "resilience.yaml").namespace
    assert "variable" == policies_for(["own.yaml"], "resilience.yaml").namespace


def test_an_empty_variable_says_nothing(given_all: Given) -> None:
    """As a compose file makes them of variables that are not set."""
    assert "file" == given_all("namespace: file\n", NAMESPACE="", NAMESPAC="").namespace


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("STORE", "redus://host", "this is not the URL of a store (did you mean redis://?)"),
        ("STORE", "x" * 3000, "a store is a URL: memory://, sqlite:///path or redis://host:6379, as one text"),
        ("STORE", "redis://${NOT_SET}", "the environment has no variable NOT_SET (set it, or write the URL)"),
        ("STORE", "sqlite:///state.db", "its path begins nowhere (write an absolute one, with four slashes in all)"),
        ("STORE", "sqlite:////nowhere/state.db", "the store /nowhere/state.db must be in a directory that exists (make it, or correct the path)"),
        ("NAMESPACE", "a b", "'namespace' must be 1 to 64 letters, digits, '-', '_' and '.', not 'a b'"),
        ("MODE", "obsrve", "'obsrve' is no mode (did you mean 'observe'?)"),
        ("MODE", "limter=off", "'limter' is no layer with its mode (did you mean 'limiter'?)"),
        ("MODE", "observe,limiter=off", "'observe' is no layer with its mode (there are: retry, retry_budget, credits, breaker, limiter, ...)"),
        ("MODE", "limiter=off,limiter=observe", "'limiter' stands twice (keep one)"),
        ("MODE", "limiter=of", "'limiter' must be 'enforce', 'observe' or 'off', not 'of' (did you mean 'off'?)"),
        ("REFUSALS", "rase", "'refusals' must be 'reply' or 'raise', not 'rase' (did you mean 'raise'?)"),
        ("SPANS", "no", "'spans' must be 'always', 'touched', 'never' or 'off', not 'no'"),
        ("RELOAD", "5", "'5' is no time between two looks; write off, or a duration from 100ms to 1h, as 5s"),
        ("RELOAD", "2h", "'2h' is no time between two looks; write off, or a duration from 100ms to 1h, as 5s"),
        ("SHIPPED", "anakn", "there is no policy 'anakn' (did you mean 'anakin'?)"),
        ("PROVIDER_OWN_PLAN", "bigg", "own has no plan 'bigg' (did you mean 'big'?)"),
        ("PROVIDER_OWN_OFF", "yes", "'off' must be true or false, not 'yes'"),
        ("PROVIDER_OWN_HOSTS", "https://x.test", "'https://x.test' is no host; write api.example.com, *.example.com, 127.0.0.1:8000 or *: small letters, no scheme, no path"),
        ("PROVIDER_OWN_MODE", "off=retry", "'off' is no layer with its mode (there are: retry, retry_budget, credits, breaker, limiter, ...)"),
        ("OFF", "1", "this library knows no such variable (unset it, and set RESILIENCE_AUTO=0 to have `resilience run` and autoload do nothing, or RESILIENCE_MODE=off to switch the layers off)"),
        ("STROE", "redis://:secret@host", "this library knows no such variable (did you mean 'RESILIENCE_STORE'? else unset it)"),
        ("PROVIDER_ON_PLAN", "big", "this library knows no such variable (did you mean 'RESILIENCE_PROVIDER_OWN_PLAN'? else unset it)"),
        ("PROVIDER_OWN_PLANS", "big", "this library knows no such variable (did you mean 'RESILIENCE_PROVIDER_OWN_PLAN'? else unset it)"),
        ("PROVIDER_OWN", "big", "this library knows no such variable (did you mean 'RESILIENCE_PROVIDER_OWN_OFF'? else unset it)"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_variable_and_the_remedy(name: str, text: str, problem: str, given_all: Given) -> None:
    """In the words of the file's mistakes, and never with what may be a password."""
    problems = told(lambda: given_all(**{name: text}))

    assert [f"RESILIENCE_{name}: {problem}"] == problems


def test_mistakes_of_several_variables_are_told_at_once(given_all: Given) -> None:
    """As those of a file."""
    assert 2 == len(told(lambda: given_all(SPANS="x", REFUSALS="y")))
    assert 2 == len(told(lambda: given_all(SPANS="", REFUSALS="", STROE="x", MOD="y")))


def test_a_variable_that_may_mean_two_providers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name's signs are lost in a variable."""
    for name in ("some-one", "some.one"):
        (tmp_path / f"{name}.yaml").write_text(f"version: 1\nprovider: {name}\nmatch: {{hosts: [{name}.test]}}\n")
    config = tmp_path / "resilience.yaml"
    config.write_text("version: 1\nshipped: false\npolicies: [some-one.yaml, some.one.yaml]\n")
    monkeypatch.setenv("RESILIENCE_PROVIDER_SOME_ONE_OFF", "1")

    problems = told(lambda: policies_for(None, config))

    both = "this may mean 'some-one' and 'some.one' (unset it, and write the value into resilience.yaml)"
    assert [f"RESILIENCE_PROVIDER_SOME_ONE_OFF: {both}"] == problems


def test_the_file_keeps_its_own_mistakes(given_all: Given) -> None:
    """A variable for one key hides none of another, and adds to no mistake."""
    problems = told(lambda: given_all("mode: 3\nproviders: [x]\n", MODE="limiter=off", PROVIDER_OWN_PLAN="big"))

    assert ["resilience.yaml:4:7", "resilience.yaml:5:12"] == [problem.partition(": ")[0] for problem in problems]


def test_variables_of_this_librarys_own_say_nothing_here(given_all: Given, tmp_path: Path) -> None:
    """They belong to its commands and its tests; what the file asks for by its name belongs to the file's owner."""
    policies = given_all(
        "store: redis://:${RESILIENCE_REDIS_PASSWORD}@host:6379\n",
        RUN_PID="1", EXPLAIN="1", AUTO="1", TEST_SECONDS="3", REDIS_PASSWORD="pw",
    )  # fmt: skip

    assert "redis://:pw@host:6379" == policies.store


KUBERNETES = {
    "SERVICE_HOST": "10.0.0.11",
    "SERVICE_PORT": "8080",
    "SERVICE_PORT_HTTP": "8080",
    "SERVICE_PORT_GRPC_WEB": "8081",
    "PORT": "tcp://10.0.0.11:8080",
    "PORT_8080_TCP": "tcp://10.0.0.11:8080",
    "PORT_8080_TCP_PROTO": "tcp",
    "PORT_8080_TCP_PORT": "8080",
    "PORT_8080_TCP_ADDR": "10.0.0.11",
    "PORT_53_UDP_ADDR": "10.0.0.11",
}


def test_what_kubernetes_says_of_a_service_of_this_name_stops_no_program(given_all: Given) -> None:
    """Each container of its namespace has these; what looks alike and is none of them is refused as ever."""
    assert "memory://" == given_all(**KUBERNETES).store
    alike = [
        "DEMO_PORT",
        "PORTS",
        "PORT_8080",
        "PORT_8080_TCP_HOST",
        "PORT_TCP",
        "SERVICE",
        "SERVICE_HOSTS",
        "SERVICE_PORT_",
    ]
    problems = told(lambda: given_all(**dict.fromkeys(alike, "tcp://10.0.0.11:8080")))
    assert [f"RESILIENCE_{name}" for name in alike] == [problem.partition(":")[0] for problem in problems]


def test_a_password_may_stand_in_a_variable_of_its_own(given_all: Given) -> None:
    """The variable of the store asks for it as the file does."""
    policies = given_all(STORE="redis://:${RESILIENCE_SECRET}@host:6379", SECRET="p/w")

    assert "redis://:p%2Fw@host:6379" == policies.store


@given(
    found=some.dictionaries(
        some.from_regex(r"\ARESILIENCE_(PROVIDER_)?[A-Z_]{0,20}\Z"), some.text(max_size=40), max_size=5
    ),
    file=some.sampled_from(["version: 1\n", "version: 1\nmode: observe\nproviders: {a: {mode: {retry: off}}}\n", "- x\n", "x\n"]),
)  # fmt: skip
def test_no_variable_raises_anything_else(found: dict[str, str], file: str) -> None:
    """Whatever stands in the environment of a process."""
    document = parse(file, "file")
    before = repr(document)
    try:
        given = [*values(variables(found), document), *provider_values(variables(found), ["a", "b-c"])]
        made = overridden(document, given)
    except ConfigurationError:
        pass
    else:
        assert {"file", *found} >= {place.file for place in made.places.values()}
    assert before == repr(document)


def test_a_program_under_run_has_its_variables(tmp_path: Path) -> None:
    """Also without any file, and after it went to a directory that has one."""
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "resilience.yaml").write_text("version: 1\nnamespace: else\n")
    program = """
        import os
        os.chdir("else")
        import httpx
        from resilience._install import ResilienceFinder
        policies = ResilienceFinder.policies
        print(policies.namespace, {source.settings.refusals for source in policies.sources})
    """

    done = run(*python(program), directory=tmp_path, variables={"RESILIENCE_REFUSALS": "raise"})

    assert (0, "resilience {'raise'}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_run_refuses_a_mistake_before_the_program_starts(tmp_path: Path) -> None:
    """As one of the file."""
    done = run(*python("print('started')"), directory=tmp_path, variables={"RESILIENCE_MODE": "obsrve"})

    assert (2, "") == (done.returncode, done.stdout)
    assert "resilience: RESILIENCE_MODE: 'obsrve' is no mode (did you mean 'observe'?)\n" == done.stderr


@pytest.mark.parametrize("is_in_file", [True, False])
def test_run_refuses_a_store_that_has_no_place_before_the_program_starts(is_in_file: bool, tmp_path: Path) -> None:
    """Not by an error out of its first call."""
    store = "sqlite:////nowhere/a.db"
    (tmp_path / "resilience.yaml").write_text(f"version: 1\n{f'store: {store}' if is_in_file else ''}\n")
    variables = {} if is_in_file else {"RESILIENCE_STORE": store}

    done = run(*python("print('started')"), directory=tmp_path, variables=variables)

    assert (2, "") == (done.returncode, done.stdout)
    where = "resilience.yaml:2:8" if is_in_file else "RESILIENCE_STORE"
    told = "the store /nowhere/a.db must be in a directory that exists (make it, or correct the path)"
    assert f"resilience: {where}: {told}\n" == done.stderr


def test_a_process_without_file_and_variables_imports_no_model(tmp_path: Path) -> None:
    """What is not asked for is not paid for."""
    program = "import sys, resilience; resilience.install(); print('pydantic' in sys.modules)"
    own_variables = {name: text for name, text in os.environ.items() if not name.startswith("RESILIENCE_")}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**own_variables, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ("False\n", "") == (done.stdout, done.stderr)
    assert resilience.__file__.startswith(str(CHECKOUT))
