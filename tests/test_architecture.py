"""Rules of the design that no type checker knows, held over the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "resilience"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(module.relative_to(PACKAGE)) for module in MODULES]
TREES = {name: ast.parse(module.read_text()) for name, module in zip(NAMES, MODULES, strict=True)}

# Who may ask for the time, for chance, or for a thread of execution, and why.
WORLDLY = {
    "_clock.py": "what asks the machine for time and chance",
    "_worked.py": "what the machine says of the time of a thread",
    "_waker.py": "in which event loop a call waits, so that one that stopped holds nobody up",
    "_promise.py": "how a thread wakes a call in the event loop that it belongs to",
    "simulate.py": "chance of its own, seeded, so that the same history happens again",
    "_fake_provider.py": "a server: requests arrive when they arrive",
    "_fake_server.py": "the same",
    "testing.py": "the fake provider's door",
    "_launcher/sitecustomize.py": "runs before anything else of this package can be imported",
}
WORLDLY_NAMES = {"time", "random", "asyncio", "trio", "uuid", "secrets", "sched"}
LONGEST = 250
LONGER = {
    "_decode.py": "one bounded decoder for each coding",
    "_script.py": "a language with its parser and its errors",
    "_validate.py": "pydantic's errors in words, one kind after the other",
    "events.py": "a small class for each thing that is heard of, with all its fields told",
    "_yaml.py": "one reader with a refusal for each thing that YAML can do and a policy must not",
    "simulate.py": "a library, a runtime and a scheduler, each useless without the others",
}


def nodes(name: str, *kinds: type) -> Iterator[ast.AST]:
    return (node for node in ast.walk(TREES[name]) if isinstance(node, kinds))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WORLDLY])
def test_nothing_outside_the_runtime_asks_for_time_or_chance(name: str) -> None:
    """Pure state takes `now` and returns waits; layers ask their runtime."""
    imported = {
        alias.name.partition(".")[0]
        for node in nodes(name, ast.Import)
        for alias in node.names  # type: ignore[attr-defined]
    } | {node.module.partition(".")[0] for node in nodes(name, ast.ImportFrom) if node.module and not node.level}  # type: ignore[attr-defined]
    called = {node.attr for node in nodes(name, ast.Attribute)}  # type: ignore[attr-defined]

    assert set() == imported & WORLDLY_NAMES
    assert set() == called & {"utcnow", "today", "monotonic", "perf_counter", "sleep_forever"}
    assert not any(
        node.func.attr == "now" and isinstance(node.func.value, ast.Name) and node.func.value.id == "datetime"  # type: ignore[attr-defined]
        for node in nodes(name, ast.Call)
        if isinstance(node.func, ast.Attribute)  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_lock_is_held_while_a_call_waits(name: str) -> None:
    """A thread's lock held across an `await` would stop every other call of the process."""
    for node in nodes(name, ast.With):
        if any("lock" in ast.unparse(item.context_expr).lower() for item in node.items):  # type: ignore[attr-defined]
            assert not any(isinstance(inner, ast.Await) for inner in ast.walk(node))


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_is_a_coroutine_function_named_for_it(name: str) -> None:
    """`retry_layer` makes `retry_call`, and nothing of a layer but its own call is asynchronous inside of it."""
    for node in nodes(name, ast.FunctionDef):
        if node.name.endswith("_layer"):  # type: ignore[attr-defined]
            inner = [each.name for each in ast.walk(node) if isinstance(each, ast.AsyncFunctionDef)]
            assert [node.name.removesuffix("_layer") + "_call"] == inner  # type: ignore[attr-defined]


# What it catches it hands to the attempt layer, which raises it again.
SENT_AHEAD = {"_attempt_shortcut.py", "_shortcut.py"}


@pytest.mark.parametrize("name", NAMES)
def test_only_one_layer_catches_what_a_transport_raises(name: str) -> None:
    """Layers pass outcomes; an `except Exception` elsewhere raises again, or has a reason written beside it."""
    lines = (PACKAGE / name).read_text().splitlines()
    for node in nodes(name, ast.ExceptHandler):
        caught = "" if node.type is None else ast.unparse(node.type)  # type: ignore[attr-defined]
        if caught in {"", "BaseException"} and name not in SENT_AHEAD:
            assert any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
        elif caught == "Exception" and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            assert "# noqa: BLE001  " in lines[node.lineno - 1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_no_policy_brings_a_regular_expression(name: str) -> None:
    """Every pattern is written in the code that uses it."""
    for node in nodes(name, ast.Call):
        if ast.unparse(node.func) in {"re.compile", "re.match", "re.search", "re.fullmatch", "re.sub", "re.split"}:  # type: ignore[attr-defined]
            pattern = node.args[0]  # type: ignore[attr-defined]
            called = {each.func for each in ast.walk(pattern) if isinstance(each, ast.Call)}
            names = {each.id for each in ast.walk(pattern) if isinstance(each, ast.Name) and each not in called}
            assert all(each.isupper() for each in names)


@pytest.mark.parametrize("name", NAMES)
def test_a_module_has_one_subject_and_says_it(name: str) -> None:
    """Its docstring begins with one sentence, and a newcomer reads the whole in one sitting."""
    docstring = ast.get_docstring(TREES[name]) or ""
    length = len((PACKAGE / name).read_text().splitlines())

    assert docstring.split("\n\n")[0].rstrip().endswith((".", ":", "`."))
    assert length <= LONGEST or name in LONGER, f"{length} lines"


def test_no_exception_from_the_rules_is_left_over() -> None:
    """What became short or pure again leaves the list."""
    long = {name for name in NAMES if len((PACKAGE / name).read_text().splitlines()) > LONGEST}

    assert set() == set(LONGER) - long
    assert set() == set(WORLDLY) - set(NAMES)
