"""Files are found, extend one another and are merged with their places; hosts are read ahead of the rest."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import _shipped
from resilience._document import Document
from resilience._hosts_ahead import hosts_of
from resilience._load import load, load_document, load_policy
from resilience._merge import merge
from resilience._model import Model
from resilience._shipped import shipped_directory, shipped_names
from resilience._yaml import parse
from resilience.errors import ConfigurationError, PolicyError


class Small(Model):
    """A model that stands for the policy's."""

    provider: str
    answers: tuple[dict[str, Any], ...] = ()
    retry: dict[str, Any] = {}
    match: dict[str, list[str]] = {}
    examples: list[int] = []


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two shipped policies."""
    package = tmp_path / "package"
    directory = package / "policies"
    directory.mkdir(parents=True)
    monkeypatch.setattr(_shipped, "__file__", str(package / "_shipped.py"))
    (directory / "omniscrape.yaml").write_text("provider: omniscrape\nretry: {max: 4}\n", "utf-8")
    (directory / "acme.yaml").write_text("provider: acme\n", "utf-8")
    (directory / "README.md").write_text("no policy", "utf-8")
    return directory


@pytest.fixture
def _small_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small model in the place of the policy's."""
    monkeypatch.setitem(sys.modules, "resilience._policy", SimpleNamespace(Policy=Small))
    monkeypatch.setitem(sys.modules, "resilience._checks", SimpleNamespace(problems=lambda policy: []))


def write(directory: Path, name: str, text: str) -> Path:
    """A file of that name."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def merged(child: str, parent: str) -> Document:
    """What a child says that extends a parent."""
    return merge(parse(child, "child"), parse(parent, "parent"))


def refusal(path: str | Path) -> str:
    """Why a file cannot be loaded."""
    with pytest.raises(ConfigurationError) as caught:
        load_document(path)
    return str(caught.value)


def test_shipped_policies_stand_inside_the_package_if_they_do(shipped: Path) -> None:
    """An installed package brings them along."""
    assert shipped == shipped_directory()
    assert ("acme", "omniscrape") == shipped_names()


def test_shipped_policies_stand_beside_the_package_in_a_checkout(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There nothing copies them into the package."""
    monkeypatch.setattr(_shipped, "__file__", str(shipped / "below" / "_shipped.py"))
    (shipped / "policies").mkdir()

    assert shipped / "policies" == shipped_directory()
    assert () == shipped_names()


@pytest.mark.usefixtures("_small_policy")
def test_a_name_is_a_shipped_policy_and_anything_else_a_path(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slash, an ending or an object that is a path makes a path."""
    monkeypatch.chdir(tmp_path)
    for name in ("acme", "acme.yaml", "acme.yml", "sub/acme"):
        write(tmp_path, name, "provider: own\n")

    assert "acme" == load_policy("acme").provider
    own = [load_policy(path) for path in ("acme.yaml", "acme.yml", "./acme", "sub/acme", Path("acme"))]
    assert ["own"] * 5 == [policy.provider for policy in own]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("omniscrap", "did you mean omniscrape?"),
        # It has three letters of "openai", which nobody has meant.
        ("nope", "a file is named by a path that ends in .yaml"),
        ("zzzzz", "a file is named by a path that ends in .yaml"),
        ("..", "a file is named by a path that ends in .yaml"),
        ("", "a file is named by a path that ends in .yaml"),
    ],
)
@pytest.mark.usefixtures("_small_policy", "shipped")
def test_an_unknown_name_is_answered_with_the_nearest(name: str, hint: str) -> None:
    """What could be meant, or how a file is named."""
    with pytest.raises(ConfigurationError) as caught:
        load_policy(name)

    assert f"there is no shipped policy {name!r}; {hint}" == str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """Missing, a directory, a device, a name that no file can have, or binary: it never hangs and never floods."""
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(bytes(range(256)))

    actual = [refusal(path) for path in (tmp_path / "none.yaml", tmp_path, pipe, "/dev/zero", binary)]

    assert [
        f"'{tmp_path}/none.yaml' cannot be read: No such file or directory; check its name and rights",
        f"'{tmp_path}' is a directory; name a file",
        f"'{pipe}' is a device or a pipe; name a file",
        "'/dev/zero' is a device or a pipe; name a file",
        f"{binary}:3:115: the byte 0x80 is not UTF-8 (save the file as UTF-8 text)",
    ] == actual
    assert refusal("a\0.yaml").startswith("'a\\x00.yaml' cannot be read: ")


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    """Only one byte more than is allowed is ever in memory."""
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    assert f"{path}:1:1: the file is larger than 1 MiB (split it into several files)" == refusal(path)


def test_loads_a_file_as_a_model(tmp_path: Path) -> None:
    """And what does not fit is shown with its place."""
    good = write(tmp_path, "good.yaml", "provider: x\nretry: {a: 1}\n")
    bad = write(tmp_path, "bad.yaml", "provider: x\nretyr: {a: 1}\n")

    assert Small(provider="x", retry={"a": 1}) == load(good, Small)
    with pytest.raises(PolicyError) as caught:
        load(bad, Small)
    assert f"{bad}:2:1: unknown key 'retyr' (did you mean 'retry'?)" == str(caught.value)


@pytest.mark.parametrize("extends", ["omniscrape", "base.yaml", "./base.yaml", "../base.yaml", "sub/base.yaml"])
@pytest.mark.usefixtures("shipped")
def test_a_file_extends_a_shipped_policy_or_a_file_beside_it(tmp_path: Path, extends: str) -> None:
    """A path counts from the file that names it, not from the working directory."""
    for place in ("", "files/", "files/sub/"):
        write(tmp_path, f"{place}base.yaml", "provider: base\nretry: {max: 4}\n")
    path = write(tmp_path, "files/child.yaml", f"extends: {extends}\nretry: {{first: 1}}\n")

    actual = load_document(path)

    provider = "omniscrape" if extends == "omniscrape" else "base"
    assert {"provider": provider, "retry": {"max": 4, "first": 1}} == actual.data


def test_a_chain_merges_from_its_root(tmp_path: Path) -> None:
    """Whoever stands nearer to the file that is loaded has the last word; eight files may stand in it, and no more."""
    write(tmp_path, "f1.yaml", "provider: p1\nretry: {k1: 1, all: 1}\n")
    for number in range(2, 10):
        write(tmp_path, f"f{number}.yaml", f"extends: f{number - 1}.yaml\nretry: {{k{number}: 1, all: {number}}}\n")

    actual = load(tmp_path / "f8.yaml", Small)

    assert {**{f"k{number}": 1 for number in range(1, 9)}, "all": 8} == actual.retry
    assert "p1" == actual.provider
    message = "`extends`: more than 8 files extend one another; extend one nearer to the root"
    assert f"{tmp_path}/f2.yaml:1:10: {message}" == refusal(tmp_path / "f9.yaml")


def test_a_circle_is_shown(tmp_path: Path) -> None:
    """From where it begins to where it begins again."""
    start = write(tmp_path, "start.yaml", "extends: a.yaml\n")
    write(tmp_path, "a.yaml", "extends: b.yaml\n")
    write(tmp_path, "b.yaml", "extends: sub/../a.yaml\n")
    itself = write(tmp_path, "itself.yaml", "extends: itself.yaml\n")

    (tmp_path / "sub").mkdir()

    circle = f"{tmp_path}/a.yaml -> {tmp_path}/b.yaml -> {tmp_path}/sub/../a.yaml"
    message = "`extends`: the files extend one another in a circle"
    assert f"{tmp_path}/b.yaml:1:10: {message}: {circle}; take one `extends` out" == refusal(start)
    assert f"{itself}:1:10: {message}: {itself} -> {itself}; take one `extends` out" == refusal(itself)


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("[a]", "'extends' must be text, not a list (write a shipped policy's name or a path from this file)"),
        ("acmee", "`extends`: there is no shipped policy 'acmee'; did you mean acme?"),
        (
            "'none.yaml'",
            "`extends`: '{}/none.yaml' cannot be read: No such file or directory; check its name and rights",
        ),
        ("./", "`extends`: '{}' is a directory; name a file"),
        ("/dev/zero", "`extends`: '/dev/zero' is a device or a pipe; name a file"),
    ],
)
@pytest.mark.usefixtures("shipped")
def test_what_cannot_be_extended_is_a_problem_at_its_place(tmp_path: Path, extends: str, message: str) -> None:
    """The file that names it is the one to correct."""
    path = write(tmp_path, "child.yaml", f"a: 1\nextends: {extends}\n")

    assert f"{path}:2:10: {message.format(tmp_path)}" == refusal(path)


def test_only_a_mapping_can_be_extended(tmp_path: Path) -> None:
    """A list would vanish without a word."""
    parent = write(tmp_path, "list.yaml", "# a list\n- 1\n")
    path = write(tmp_path, "child.yaml", "extends: list.yaml\n")

    assert f"{parent}:2:1: a file that another one extends must be a mapping (write keys)" == refusal(path)


def test_what_is_wrong_in_an_extended_file_is_told_of_that_file(tmp_path: Path) -> None:
    """And not of the line that names it."""
    parent = write(tmp_path, "base.yaml", "a: 1\na: 2\n")
    path = write(tmp_path, "child.yaml", "extends: base.yaml\n")

    assert f"{parent}:2:1: the key 'a' stands twice (it stood first at {parent}:1:1; keep one)" == refusal(path)


def test_a_file_that_is_no_mapping_extends_nothing(tmp_path: Path) -> None:
    """What it must be is the model's question."""
    assert [1] == load_document(write(tmp_path, "list.yaml", "- 1\n")).data
    assert {"extends": None} == load_document(write(tmp_path, "null.yaml", "extends:\n")).data


@pytest.mark.parametrize(
    ("child", "parent", "expected"),
    [
        ("a: {b: {c: 1}}", "a: {b: {d: 2}, e: 3}", {"a": {"b": {"d": 2, "c": 1}, "e": 3}}),
        ("a: [1]", "a: [2, 3]", {"a": [1]}),
        ("a: 1", "a: {b: 2}", {"a": 1}),
        ("a: {b: 2}", "a: 1", {"a": {"b": 2}}),
        ("a: null", "a: {b: 2}\nc: 1", {"c": 1}),
        ("a: {b: null}", "a: {b: 2, c: 1}", {"a": {"c": 1}}),
        ("a: null", "c: 1", {"c": 1}),
        ("a: {b: null}", "c: 1", {"c": 1, "a": {"b": None}}),
        ("c: 1", "a: null", {"a": None, "c": 1}),
        ("extends: x", "provider: p\nextends: y", {"provider": "p"}),
        ("provider: c", "provider: p", {"provider": "c"}),
        ("a: {extends: 1}", "a: {examples: 2}", {"a": {"examples": 2, "extends": 1}}),
        ("a: 1", "examples: [1]", {"a": 1}),
        ("examples: [2]", "examples: [1]", {"examples": [2]}),
        ("a: {answers: [{rule: x}]}", "a: {answers: [{rule: y}]}", {"a": {"answers": [{"rule": "x"}]}}),
        ("answers: []", "answers: [{rule: y}]", {"answers": [{"rule": "y"}]}),
        ("answers: null", "answers: [{rule: y}]", {}),
        ("answers: 5", "answers: [{rule: y}]", {"answers": 5}),
        ("answers: [{rule: y}]", "a: 1", {"a": 1, "answers": [{"rule": "y"}]}),
    ],
)
def test_a_child_is_merged_into_its_parent(child: str, parent: str, expected: object) -> None:
    """Mappings merge, null removes, everything else replaces; `extends` and the parent's `examples` stay behind."""
    assert expected == merged(child, parent).data


def test_inherited_keys_stand_where_the_parent_has_them() -> None:
    """A child's own keys come behind them, so that adding one changes no order that a reader knows."""
    actual: Any = merged("a: {x: 1, b: 1}\nc: 1", "d: 1\na: {z: 1, b: 2}").data

    assert ["d", "a", "c"] == list(actual)
    assert ["z", "b", "x"] == list(actual["a"])


def test_a_rule_replaces_its_namesake_and_a_new_one_comes_first() -> None:
    """The first match wins, so the child's own rules must be asked before the parent's."""
    actual: Any = merged(
        "answers: [{rule: new}, {rule: b, own: 1}, 5, {rule: [odd]}, {rule: b, own: 2}, {unnamed: 1}]",
        "answers: [{rule: a}, {rule: b, theirs: 1}, 6, {rule: c}, {rule: b}]",
    ).data

    expected = [
        *[{"rule": "new"}, 5, {"rule": ["odd"]}, {"unnamed": 1}],
        *[{"rule": "a"}, {"rule": "b", "own": 1}, {"rule": "b", "own": 2}, 6, {"rule": "c"}, {"rule": "b"}],
    ]
    assert expected == actual["answers"]


def test_every_merged_value_keeps_its_place() -> None:
    """An error in an inherited part names the parent's file."""
    document = merged(
        "answers:\n  - {rule: b, when: 1}\n  - rule: new\nretry: {own: 1}\n",
        "answers:\n  - {rule: a}\n  - {rule: b}\nretry: {theirs: [x]}\ndocs: {page: 1}\n",
    )

    values = {
        (): "child:1:1",
        ("answers",): "child:2:3",
        ("answers", 0, "rule"): "child:3:11",
        ("answers", 1, "rule"): "parent:2:12",
        ("answers", 2, "when"): "child:2:21",
        ("retry",): "child:4:8",
        ("retry", "own"): "child:4:14",
        ("retry", "theirs", 0): "parent:4:18",
        ("docs",): "parent:5:7",
    }
    keys = {
        ("answers",): "child:1:1",
        ("answers", 0, "rule"): "child:3:5",
        ("answers", 1, "rule"): "parent:2:6",
        ("retry",): "child:4:1",
        ("retry", "theirs"): "parent:4:9",
        ("docs", "page"): "parent:5:8",
    }
    assert values == {path: str(document.places[path]) for path in values}
    assert keys == {path: str(document.key_places[path]) for path in keys}


def test_many_rules_merge_quickly() -> None:
    """Thousands of names are not compared one with all others."""
    rules = "answers:\n" + "".join(f"- rule: r{number}\n" for number in range(6000))
    child, parent = parse(rules, "child"), parse(rules, "parent")
    started = time.perf_counter()

    document = merge(child, parent)

    assert child.data == document.data
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "provider: x\ndocs: {a: {b: [1, {c: 2}]}}\nmatch: {x: [1], hosts: [a.com, 'b.com']}\nx: [",
            ("a.com", "b.com"),
        ),
        ("match:\n  hosts:\n  - a.com\nrest: [this is not closed", ("a.com",)),
        ("match: {hosts: []}\nrest: [this is not closed", ()),
        ("match: {}", ()),
        ("a: 1", ()),
        ("match: [hosts]", ()),
        ("match: {hosts: a.com}", ()),
        ("- match", ()),
        ("x: &h [a.com]\nmatch: {hosts: *h}", ("a.com",)),
        ("x: &h a.com\nmatch: {hosts: [*h, b.com]}", ("a.com", "b.com")),
        ("match: {hosts: [[a.com], b.com, 5]}", ("b.com",)),
        ("x: &m {hosts: [a.com]}\nmatch: *m", ("a.com",)),
        ("extends: parent.yaml", ("parent.com",)),
        ("extends: parent.yaml\nmatch: {ports: [1]}", ("parent.com",)),
        ("extends: parent.yaml\nmatch: {hosts: [own.com]}", ("own.com",)),
        ("extends: parent.yaml\nmatch: null", ()),
    ],
)
def test_reads_the_hosts_ahead_of_the_rest(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    """However they are written, and inherited ones too; what stands behind them is not looked at."""
    write(tmp_path, "parent.yaml", "match: {hosts: [parent.com]}\n")

    assert expected == hosts_of(write(tmp_path, "child.yaml", text))


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "a: [", "match: {hosts: [a", "[a]: 1\nmatch: {hosts: [a.com]}", "\0"]
)
def test_a_broken_file_has_no_hosts(tmp_path: Path, text: str) -> None:
    """As far as it is read, it must be right."""
    path = write(tmp_path, "broken.yaml", text)

    with pytest.raises(PolicyError):
        hosts_of(path)


def test_reading_hosts_ahead_is_quick(tmp_path: Path) -> None:
    """A process asks this of every shipped policy when it starts, so the rest of a file must not matter."""
    rest = "examples:\n" + "  - {answer: {status: 402, body: {code: QUOTA}}, verdict: {retryable: false}}\n" * 500
    path = write(tmp_path, "long.yaml", "version: 1\nprovider: x\nmatch: {hosts: [a.com]}\n" + rest)
    durations: list[float] = []

    for _ in range(20):
        started = time.perf_counter()
        hosts_of(path)
        durations.append(time.perf_counter() - started)

    assert min(durations) < 0.002


def test_hosts_of_every_shipped_policy_agree_with_the_whole_file() -> None:
    """Reading ahead finds what reading everything finds."""
    for name in shipped_names():
        path = shipped_directory() / f"{name}.yaml"
        document: Any = load_document(path).data

        assert tuple(document["match"]["hosts"]) == hosts_of(path)


PARTS = [
    "extends: ",
    "child.yaml",
    "acme",
    "match: ",
    "hosts: ",
    "[a]",
    "{",
    "}",
    "\n",
    "  ",
    "- ",
    "answers: ",
    "rule: a",
]


@given(st.binary() | st.lists(st.sampled_from(PARTS), max_size=20).map(lambda parts: "".join(parts).encode()))
def test_any_file_is_loaded_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Nothing but data or a ConfigurationError comes out."""
    path = tmp_path_factory.getbasetemp() / "child.yaml"
    path.write_bytes(content)

    for read in (load_document, hosts_of, lambda path: load(path, Small)):
        try:
            found = read(path)
        except ConfigurationError as error:
            found = str(error)

        assert found is not None
