"""Which policies are active: those that are given, else the configuration's, else all that are shipped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

import resilience
import resilience.httpx
from resilience._config import find_config, own_policies, policies_for
from resilience._hosts_ahead import hosts_of
from resilience._modes import LAYERS, Mode
from resilience._registry import Policies, Settings
from resilience._shipped import shipped_directory, shipped_names
from resilience._store_file import path_of
from resilience.errors import ConfigurationError, PolicyError
from tests.worlds import policy

OWN = "version: 1\nprovider: own\nmatch: {hosts: [own.test]}\n"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no variable."""
    monkeypatch.delenv("RESILIENCE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def names(policies: Policies) -> list[str]:
    return sorted(source.name for source in policies.sources)


def provider_of(policies: Policies, host: str) -> str | None:
    found = policies.find(httpx.URL(f"https://{host}/"))
    return None if found is None else found.provider


def test_without_anything_every_shipped_policy_is_active_for_its_own_hosts() -> None:
    """And for nothing else."""
    policies = policies_for()

    assert list(shipped_names()) == names(policies)
    for name in shipped_names():
        for host in hosts_of(shipped_directory() / f"{name}.yaml"):
            assert name == provider_of(policies, host)
    assert provider_of(policies, "own.test") is None


def test_what_is_given_is_exactly_what_is_active(alone: Path) -> None:
    """Names, paths as text or objects, and policies; a configuration that lies about is not looked at."""
    write(alone / "resilience.yaml", "this: is wrong\n")
    write(alone / "dir" / "own.yaml", OWN)
    first = shipped_names()[0]

    assert sorted([first, "own", "provider"]) == names(policies_for([first, Path("dir/own.yaml"), policy()]))
    assert ["own"] == names(policies_for(["dir/own.yaml"]))
    assert ["own"] == names(policies_for(policy for policy in [alone / "dir" / "own.yaml"]))
    assert [] == names(policies_for([]))


def test_a_configuration_beside_given_policies_adjusts_them() -> None:
    """Their hosts, and whether they are active."""
    moved = policies_for([policy()], {"version": 1, "providers": {"provider": {"hosts": ["gateway.test"]}}})
    off = policies_for([policy()], {"version": 1, "providers": {"provider": {"off": True}}})

    assert ("provider", None) == (provider_of(moved, "gateway.test"), provider_of(moved, "provider.test"))
    assert [] == names(off)


def test_the_working_directorys_file_applies(alone: Path) -> None:
    """Its paths count from where it stands."""
    write(alone / "own.yaml", OWN)
    write(alone / "resilience.yaml", "version: 1\nshipped: false\npolicies: [own.yaml]\n")

    assert (["own"], Path("resilience.yaml")) == (names(policies_for()), find_config())


def test_the_variables_file_comes_before_it(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from elsewhere, with its own paths; an empty variable names nothing."""
    write(alone / "resilience.yaml", "version: 1\nshipped: false\n")
    write(alone / "etc" / "policies" / "own.yaml", OWN)
    named = write(alone / "etc" / "config.yaml", "version: 1\nshipped: false\npolicies: [policies/own.yaml]\n")
    monkeypatch.setenv("RESILIENCE_CONFIG", str(named))

    assert (["own"], named) == (names(policies_for()), find_config())
    assert (alone / "etc" / "policies" / "own.yaml",) == own_policies()

    monkeypatch.setenv("RESILIENCE_CONFIG", "")
    assert [] == names(policies_for())


def test_a_variable_that_names_no_file_is_a_mistake(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody should believe that it applies."""
    monkeypatch.setenv("RESILIENCE_CONFIG", str(alone))

    with pytest.raises(
        ConfigurationError, match=r"RESILIENCE_CONFIG names .*, which is not a file; correct or unset it"
    ):
        policies_for()


def test_a_given_configuration_comes_before_both(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As data, as text or as a path."""
    write(alone / "resilience.yaml", "version: 1\nshipped: false\n")
    monkeypatch.setenv("RESILIENCE_CONFIG", str(alone / "resilience.yaml"))
    write(alone / "own.yaml", OWN)
    given = write(alone / "given.yaml", "version: 1\nshipped: false\npolicies: [own.yaml]\n")

    assert ["own"] == names(policies_for(config=given))
    assert ["own"] == names(policies_for(config=str(given)))
    assert ["own"] == names(policies_for(config={"version": 1, "shipped": False, "policies": ["own.yaml"]}))


def test_shipped_policies_may_be_chosen() -> None:
    """Some of them, or none."""
    first, second, *_ = shipped_names()

    assert [first, second] == names(policies_for(config={"version": 1, "shipped": [second, first]}))
    assert [] == names(policies_for(config={"version": 1, "shipped": False}))
    with pytest.raises(
        ConfigurationError, match=f"shipped.1: there is no policy 'nobody'; there are: {first}, {second}"
    ):
        policies_for(config={"version": 1, "shipped": [first, "nobody"]})


def test_a_policy_of_the_users_own_takes_the_place_of_a_shipped_one(alone: Path) -> None:
    """Of the same name; what the shipped one said is gone."""
    name = shipped_names()[0]
    write(alone / "mine.yaml", OWN.replace("provider: own", f"provider: {name}"))

    policies = policies_for(config={"version": 1, "policies": ["mine.yaml"]})

    assert list(shipped_names()) == names(policies)
    assert name == provider_of(policies, "own.test")
    assert provider_of(policies, hosts_of(shipped_directory() / f"{name}.yaml")[0]) is None


def test_a_provider_may_be_moved_or_switched_off() -> None:
    """Settings that say nothing change nothing."""
    first, second, *_ = shipped_names()
    config: dict[str, Any] = {
        "version": 1,
        "shipped": [first, second],
        "providers": {first: {"hosts": ["gateway.test"]}, second: {}},
    }

    policies = policies_for(config=config)

    assert first == provider_of(policies, "gateway.test")
    assert second == provider_of(policies, hosts_of(shipped_directory() / f"{second}.yaml")[0])
    assert [second] == names(policies_for(config={**config, "providers": {first: {"off": True}}}))


@pytest.mark.parametrize(
    ("provider", "hint"),
    [
        (f"{shipped_names()[0]}s", f"did you mean '{shipped_names()[0]}'?"),
        ("nope", f"there are: {shipped_names()[0]}, "),
        ("zzz", f"there are: {shipped_names()[0]}, "),
    ],
)
def test_settings_for_nobody_are_a_mistake(provider: str, hint: str) -> None:
    """With the name that was meant, or those that there are."""
    with pytest.raises(ConfigurationError) as caught:
        policies_for(config={"version": 1, "providers": {provider: {"off": True}}})

    assert f"providers.{provider}: there is no policy for '{provider}'; {hint}" in str(caught.value)


@pytest.mark.parametrize("policies", ["anakin", Path("own.yaml")])
def test_one_policy_is_no_list_of_policies(policies: Any) -> None:
    """A text would be taken for its letters."""
    with pytest.raises(ConfigurationError, match=r"policies is a list; write \['"):
        policies_for(policies)


def test_what_is_no_policy_and_no_configuration_is_refused(alone: Path) -> None:
    """Before anything else happens."""
    with pytest.raises(ConfigurationError, match="a policy is a name, a path or a Policy, not 7"):
        policies_for([7])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="a configuration is a path or a mapping, not 7"):
        policies_for(config=7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        policies_for(config=alone / "nowhere.yaml")
    with pytest.raises(ConfigurationError, match="there is no shipped policy 'nobody'"):
        policies_for(["nobody"])


def test_a_wrong_file_is_shown_with_its_place(alone: Path) -> None:
    """Line and column, as editors count."""
    wrong = write(alone / "resilience.yaml", "version: 1\nshiped: false\n")

    with pytest.raises(PolicyError) as caught:
        policies_for()

    assert f"{wrong.name}:2:1" in str(caught.value)


PLANS = (
    OWN
    + """\
account: {headers: [X-Api-Key]}
plans: {free: {calls: 1}, paid: {calls: 5}}
limits: [{concurrency: "{plan.calls}"}]
"""
)


def test_a_policy_that_is_not_there_is_told_of_where_it_is_named(alone: Path) -> None:
    """All of them at once; without a file, by the key."""
    given = {"version": 1, "policies": ["./none.yaml", "anakn", "anakin"]}
    (alone / "resilience.yaml").write_text("version: 1\npolicies:\n  - ./none.yaml\n  - anakn\n  - anakin\n")

    with pytest.raises(PolicyError) as caught:
        policies_for()
    with pytest.raises(ConfigurationError, match="policies.0: 'none.yaml' cannot be read: No such file or directory"):
        policies_for(config=given)

    places = [(each.place.line, each.place.column, each.message) for each in caught.value.problems]
    assert [
        (3, 5, "'none.yaml' cannot be read: No such file or directory"),
        (4, 5, "there is no shipped policy 'anakn'"),
    ] == places


def test_settings_reach_their_provider(alone: Path) -> None:
    """Plan, modes and refusals: the provider's own before those of the whole file, layer by layer."""
    write(alone / "own.yaml", PLANS)
    config = {
        "version": 1,
        "policies": ["own.yaml"],
        "store": "sqlite:///state.db",
        "namespace": "shop",
        "mode": {"limiter": "observe", "breaker": "observe"},
        "refusals": "raise",
        "providers": {"own": {"plan": "paid", "mode": {"breaker": "off"}}},
    }

    policies = policies_for(config=config)

    settings = {source.name: source.settings for source in policies.sources}
    assert Settings("paid", {"limiter": Mode.OBSERVE, "breaker": Mode.OFF}, "raise") == settings["own"]
    both = {"limiter": Mode.OBSERVE, "breaker": Mode.OBSERVE}
    assert Settings(None, both, "raise") == settings[shipped_names()[0]]
    assert (f"sqlite:///{alone.resolve() / 'state.db'}", "shop") == (policies.store, policies.namespace)
    config["providers"] = {"own": {"refusals": "reply", "mode": "off"}}
    (own,) = (source for source in policies_for(config=config).sources if source.name == "own")
    assert Settings(None, dict.fromkeys(LAYERS, Mode.OFF), "reply") == own.settings


def test_a_store_may_take_its_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that none stands in a file; a variable that is empty is there."""
    monkeypatch.setenv("CACHE", "user:pa$$word@cache.test")
    monkeypatch.setenv("NOTHING", "")
    config = {"version": 1, "shipped": False, "store": "redis://${CACHE}:6379/${NOTHING}"}

    assert "redis://user:pa$$word@cache.test:6379/" == policies_for(config=config).store


@pytest.mark.parametrize("plan", ["Paid", "PAID", "pa id"])
def test_a_plan_may_be_misspelt_in_any_way(plan: str, alone: Path) -> None:
    """It is told which one was meant, whether or not a plan could be called so."""
    write(alone / "own.yaml", PLANS)
    write(alone / "resilience.yaml", f"version: 1\npolicies: [own.yaml]\nproviders: {{own: {{plan: {plan}}}}}\n")

    with pytest.raises(PolicyError) as caught:
        policies_for()

    assert str(caught.value).endswith(f":3:25: own has no plan '{plan}' (did you mean 'paid'?)")


def test_all_that_cannot_be_honoured_is_told_at_once(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its place and what to do; of a mapping, with the way to it."""
    write(alone / "own.yaml", PLANS)
    monkeypatch.delenv("CACHE", raising=False)
    text = (
        "version: 1\npolicies: [own.yaml]\nshipped: [anakin, nobody]\nstore: redis://${CACHE}:6379\n"
        "providers:\n  own:\n    plan: fre\n  owm: {off: true}\n"
    )
    path = write(alone / "resilience.yaml", text)

    with pytest.raises(PolicyError) as of_file:
        policies_for()
    with pytest.raises(ConfigurationError) as of_data:
        policies_for(
            config={"version": 1, "store": "redis://${CACHE}", "providers": {"owm": {}}, "shipped": ["anakin"]}
        )

    assert [
        f"{path.name}:3:19: there is no policy 'nobody' (there are: {', '.join(shipped_names()[:5])}, ...)",
        f"{path.name}:4:8: the environment has no variable CACHE (set it, or write the URL)",
        f"{path.name}:7:11: own has no plan 'fre' (did you mean 'free'?)",
        f"{path.name}:8:3: there is no policy for 'owm' (did you mean 'own'?)",
    ] == str(of_file.value).splitlines()
    assert [
        "providers.owm: there is no policy for 'owm'; there are: anakin",
        "store: the environment has no variable CACHE; set it, or write the URL",
    ] == str(of_data.value).splitlines()


def test_a_store_that_does_not_exist_is_refused_without_its_password(alone: Path) -> None:
    """With its place; nothing connects to find out."""
    write(alone / "resilience.yaml", "version: 1\nstore: redi://user:secret@cache.test\n")

    with pytest.raises(PolicyError) as caught:
        policies_for()

    expected = "resilience.yaml:2:8: this is not the URL of a store (did you mean redis://?)"
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("made", "the store {here}/made is a directory (name a file in it)"),
        ("pipe", "the store {here}/pipe is a device or a pipe (name a file)"),
        ("/dev/null", "the store /dev/null is a device or a pipe (name a file)"),
        ("missing/a.db", "the store {here}/missing/a.db must be in a directory that exists (make it, or correct the path)"),
        ("~/a.db", "the store {here}/~/a.db must be in a directory that exists (`~` stands for no home here; write ${{HOME}})"),
        ("some.txt/a.db", "the store {here}/some.txt/a.db must be in a directory, and {here}/some.txt is a file (correct the path)"),
        ("a%00b", "sqlite:// takes the path of a file and nothing else: sqlite:///relative/path or sqlite:////absolute/path (write one of these)"),
        ("x" * 300, "the store {here}/" + "x" * 300 + " cannot be reached: File name too long (correct the path, or what this user may do there)"),
    ],
    ids=["directory", "pipe", "device", "missing", "home", "in a file", "no path", "too long"],
)  # fmt: skip
def test_a_store_that_has_no_place_on_this_machine_is_refused(store: str, message: str, alone: Path) -> None:
    """By whoever loads the configuration, and not by the first call; nothing is made to find out."""
    (alone / "made").mkdir()
    os.mkfifo(alone / "pipe")
    write(alone / "some.txt", "")
    write(alone / "resilience.yaml", f"version: 1\nstore: sqlite:///{store}\n")
    before = sorted(alone.rglob("*"))
    message = message.format(here=alone.resolve())

    with pytest.raises(PolicyError) as of_file:
        resilience.install()
    with pytest.raises(ConfigurationError) as of_data:
        resilience.httpx.Transport(config={"version": 1, "store": f"sqlite:///{store}"})

    assert f"resilience.yaml:2:8: {message}" == str(of_file.value)
    what, _, remedy = message[:-1].rpartition(" (")
    assert f"store: {what}; {remedy}" == str(of_data.value)
    assert before == sorted(alone.rglob("*"))


@pytest.mark.parametrize("is_made", [True, False])
def test_a_store_that_this_user_may_not_write_is_refused(
    is_made: bool, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, else the directory that it would be made in, is asked; root may write everything, so a test must pretend."""
    file = alone.resolve() / "state.db"
    if is_made:
        write(file, "")
    asked: list[tuple[Path, int]] = []

    def access(path: Path, mode: int, **_: object) -> bool:
        asked.append((path, mode))
        return False

    monkeypatch.setattr("resilience._store_file.os.access", access)
    write(alone / "resilience.yaml", "version: 1\nstore: sqlite:///state.db\n")

    with pytest.raises(PolicyError) as caught:
        policies_for()

    what = f"read and write {file}" if is_made else f"make files in {file.parent}"
    told = f"resilience.yaml:2:8: the store {file} cannot be used: this user may not {what} (allow it, or correct the path)"
    assert told == str(caught.value)
    assert [(file, os.R_OK | os.W_OK) if is_made else (file.parent, os.W_OK | os.X_OK)] == asked


@pytest.mark.parametrize(
    "config",
    ["own.yaml", {"version": 1, "policies": ["./own.yaml"]}, {"version": 1, "store": "sqlite:///state.db"}],
)
@pytest.mark.skipif(os.name == "nt", reason="a working directory cannot be removed on this system")
def test_relative_paths_lead_nowhere_once_the_working_directory_is_gone(config: Any, alone: Path) -> None:
    """As that of a deployment that another one has taken the place of, in a worker that has outlived it."""
    alone.rmdir()

    with pytest.raises(ConfigurationError, match="cannot be (read|used)"):
        resilience.install(config)


def test_a_store_that_has_a_place_is_taken_and_not_made(alone: Path) -> None:
    """Whether or not the file is there already, by a relative path, an absolute one or the way to one's home."""
    (alone / "made").mkdir()
    write(alone / "made" / "there.db", "")
    before = sorted(alone.rglob("*"))
    for store in (
        "made/there.db",
        "made/new.db",
        f"/{alone.resolve()}/made/new.db".replace("//", "/"),
        "${HERE}/new.db",
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HERE", str(alone))
            assert policies_for(config={"version": 1, "store": f"sqlite:///{store}"}).store.endswith(".db")
    assert before == sorted(alone.rglob("*"))


def test_a_policy_that_is_named_is_loaded_at_once_and_a_shipped_one_when_it_is_called(alone: Path) -> None:
    """So a mistake is shown where it was made, and nothing is paid for what nobody calls."""
    write(alone / "wrong.yaml", OWN + "wrong: 1\n")

    with pytest.raises(PolicyError):
        policies_for(["wrong.yaml"])

    assert all(source._policy is None or source.name in shipped_names() for source in policies_for().sources)


def test_without_a_configuration_there_are_no_files_of_ones_own() -> None:
    """Nor is one looked for elsewhere."""
    assert (None, ()) == (find_config(), own_policies())


@pytest.mark.parametrize("name", ["feature%2Fshop", "100%41", "c#", "what?", "with blanks"])
def test_a_store_stands_beside_its_configuration_whatever_their_directory_is_called(name: str, alone: Path) -> None:
    """Build servers name directories after branches, as `feature%2Fshop`; signs of URLs mean nothing there."""
    directory = alone.resolve() / name
    directory.mkdir()
    write(directory / "resilience.yaml", "version: 1\nstore: sqlite:///state%20one.db\n")

    policies = policies_for(config=directory / "resilience.yaml")

    assert str(directory / "state one.db") == path_of(policies.store)
