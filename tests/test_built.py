"""Shipped policies start from the JSON that was made of their YAML: sooner, and in nothing else different."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from resilience import Policy, _shipped
from resilience._built import build, built
from resilience._hosts_ahead import hosts_of
from resilience._load import load_document, load_policy, read_policy
from resilience._shipped import shipped_names
from resilience._yaml import parse
from resilience.errors import PolicyError

CHECKOUT = Path(__file__).parent.parent
NAMES = shipped_names()
MINIMAL = "version: 1\nprovider: acme\nmatch: {hosts: [acme.test]}\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as an installed wheel has it."""
    package = tmp_path_factory.mktemp("installed") / "resilience"
    shutil.copytree(CHECKOUT / "resilience", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "policies", package / "policies", ignore=shutil.ignore_patterns("*.json"))
    build(package / "policies")
    return package


@pytest.fixture
def shipped(package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where its policies stand, which are the shipped ones."""
    monkeypatch.setattr(_shipped, "__file__", str(package / "_shipped.py"))
    return package / "policies"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped policy that may be changed: `acme`, built."""
    directory = tmp_path / "package" / "policies"
    directory.mkdir(parents=True)
    monkeypatch.setattr(_shipped, "__file__", str(directory.parent / "_shipped.py"))
    path = directory / "acme.yaml"
    path.write_text(MINIMAL, "utf-8")
    build(directory)
    return path


def said(value: object) -> object:
    """A policy with what is otherwise not compared: the type of each value, and which fields were given."""
    if isinstance(value, BaseModel):
        fields = {name: said(getattr(value, name)) for name in type(value).model_fields}
        return type(value), sorted(value.model_fields_set), fields
    if isinstance(value, dict):
        return [(said(key), said(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [said(each) for each in value]
    return type(value), value


def leaves(value: object) -> Iterator[object]:
    """The values of plain data in their order, with their types."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from leaves(each)
    elif isinstance(value, list):
        yield len(value)
        for each in value:
            yield from leaves(each)
    else:
        yield type(value), value


def refusal(path: Path) -> str:
    """What is wrong with a policy file."""
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_built_policy_is_that_of_the_yaml(name: str, shipped: Path) -> None:
    """In each value and its type, each place, its hosts and the model that comes of it."""
    path = shipped / f"{name}.yaml"
    whole = parse(path.read_bytes(), str(path))
    found = built(path)

    assert found is not None
    document = found.document()
    assert list(leaves(whole.data)) == list(leaves(document.data))
    assert dict(whole.places) == dict(document.places)
    assert dict(whole.key_places) == dict(document.key_places)
    assert whole.data["match"]["hosts"] == list(hosts_of(path))  # type: ignore[index]
    assert said(Policy.model_validate(whole.data)) == said(load_policy(name))


def test_a_start_with_the_shipped_policies_needs_no_parser(package: Path) -> None:
    """It takes longer to import than all the shipped policies take to load."""
    program = (
        "import sys, resilience, resilience.httpx, httpx\n"
        "from resilience._config import policies_for\n"
        "policies = policies_for()\n"
        "for name in [source.name for source in policies.sources]: resilience.load_policy(name)\n"
        "resilience.httpx.Transport(httpx.MockTransport(lambda request: httpx.Response(200)))\n"
        "print(len(policies.sources), resilience.__file__, 'yaml' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=package.parent, env={}
    )

    assert f"{len(NAMES)} {package / '__init__.py'} False" == done.stdout.strip()


MISTAKES = {
    "a key that nobody knows, and its own rule": "retry: {max_atempts: 3}\nanswers: [{rule: x, when: {status: 999999}}]",
    "a value of the parent that does not fit any more": "retry: {backoff: {initial: 3}}\noperations: null",
    "a name that leads nowhere": "answers: [{rule: x, when: {status: 418}, category: overloaded, doc: nowhere}]",
    "a date of the parent where no date belongs": "docs: {errors: {url: 3}}",
    "no hosts": "match: {hosts: []}",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_a_file_that_extends_it_are_told_in_the_same_words_and_places(
    name: str, mistake: str, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the parent was built or not."""
    path = tmp_path / "own.yaml"
    path.write_text(f"version: 1\nprovider: own\nextends: {name}\n{mistake}\n", "utf-8")
    with_json = refusal(path)

    monkeypatch.setattr("resilience._load.built", lambda path: None)

    assert refusal(path) == with_json


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_extends_it_says_the_same(
    name: str, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all its places."""
    path = tmp_path / "own.yaml"
    path.write_text(f"provider: own\nextends: {name}\nretry: {{max_attempts: 2}}\n", "utf-8")
    with_json = load_document(path)
    policy = load_policy(path)

    monkeypatch.setattr("resilience._load.built", lambda path: None)

    without = load_document(path)
    assert list(leaves(without.data)) == list(leaves(with_json.data))
    assert dict(without.places) == dict(with_json.places)
    assert dict(without.key_places) == dict(with_json.key_places)
    assert said(load_policy(path)) == said(policy)


def test_a_policy_that_was_changed_since_says_what_its_yaml_says(own: Path) -> None:
    """The YAML is what people read: an edit in an installed package is heeded, mistakes and all."""
    own.write_text(MINIMAL.replace("acme.test", "other.test"), "utf-8")

    assert ("other.test",) == load_policy("acme").match.hosts == hosts_of(own)

    own.write_text(f"{MINIMAL}answers: [{{rule: x, when: {{status: 418}}, category: auth, doc: nowhere}}]\n", "utf-8")
    assert f"{own}:4:" in refusal(own)


def test_what_was_not_written_to_its_end_is_not_heeded(own: Path) -> None:
    """A build may have been interrupted anywhere."""
    path = own.with_suffix(".json")
    content = path.read_bytes()

    for end in range(len(content)):
        path.write_bytes(content[:end])
        assert built(own) is None
    assert "acme" == load_policy("acme").provider


@pytest.mark.parametrize("first", [b"", b"nothing", b"{}", b"[]", b"1", b"\0" * 9, b"\xff"])
def test_what_was_damaged_is_not_heeded(first: bytes, own: Path) -> None:
    """A disk may lose some of a file, in its first line or behind it."""
    path = own.with_suffix(".json")
    head, _, body = path.read_bytes().partition(b"\n")
    found: list[object] = []

    for damaged in (first + b"\n" + body, head + b"\n" + first + b"\n", head + b"\n" + body.replace(b"acme", b"acne")):
        path.write_bytes(damaged)
        found.append(built(own))

    assert [None] * 3 == found
    assert "acme" == load_policy("acme").provider


def test_a_wheel_is_built_of_a_checkout_that_is_read_only(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has the YAML alone, and whoever builds it is told."""

    def refuse(_directory: Path) -> None:
        raise PermissionError(13, "Permission denied", str(own))

    monkeypatch.setattr("resilience._built.build", refuse)
    hooks: Any = runpy.run_path(str(CHECKOUT / "hatch_build.py"))
    hook = hooks["PoliciesHook"](str(CHECKOUT), {}, None, None, "", "wheel")

    hook.initialize("standard", {})

    assert "read from their YAML" in "".join(capsys.readouterr())


def test_json_beside_a_file_of_somebody_else_is_not_heeded(own: Path, tmp_path: Path) -> None:
    """It could say anything, and nobody would read it."""
    path = tmp_path / "acme.yaml"
    shutil.copy(own, path)
    content = own.with_suffix(".json").read_text().replace("acme.test", "evil.test")
    path.with_suffix(".json").write_text(content)

    assert ("acme.test",) == load_policy(path).match.hosts == hosts_of(path)


def test_json_that_the_models_refuse_is_told_of_its_yaml(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout the models may have changed since it was made."""
    own.write_text(f"{MINIMAL}unheard_of: 1\n", "utf-8")
    with monkeypatch.context() as patch:
        patch.setattr("resilience._load.read_policy", lambda path: None)
        build(own.parent)

    assert built(own)
    assert f"{own}:4:1: unknown key 'unheard_of'" in refusal(own)


@pytest.mark.parametrize(
    "mistake", ["retry: {max_atempts: 3}", "answers: [{rule: x, when: {status: 418}, category: auth, doc: nowhere}]"]
)
def test_a_policy_with_a_mistake_is_not_built(mistake: str, own: Path) -> None:
    """What loads from JSON is not checked again: whoever builds it hears of the mistake."""
    own.write_text(f"{MINIMAL}{mistake}\n", "utf-8")

    with pytest.raises(PolicyError, match=f"{own}:4:"):
        build(own.parent)

    assert not own.with_suffix(".json").exists()


def test_a_policy_that_extends_another_is_not_built(own: Path) -> None:
    """What it says changes with the other file."""
    child = own.with_name("child.yaml")
    child.write_text("provider: child\nextends: acme\n", "utf-8")

    build(own.parent)

    assert not child.with_suffix(".json").exists()
    assert own.with_suffix(".json").exists()
    assert ("acme.test",) == load_policy("child").match.hosts


def test_what_was_checked_when_it_was_built_is_checked_again_only_for_the_command_line(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`read_policy` is its way to policies, and gives the places of the YAML."""
    looked: list[str] = []

    def problems(policy: Policy) -> list[object]:
        looked.append(policy.provider)
        return []

    monkeypatch.setattr("resilience._checks.problems", problems)

    load_policy("groq")
    _, document = read_policy(shipped / "openai.yaml")

    assert ["openai"] == looked
    assert str(shipped / "openai.yaml") == document.place(("match", "hosts", 0)).file
