"""`resilience autoload`: in a fresh environment with the built wheel, without the launcher of `resilience run`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience import _autoload
from resilience.cli._autoload_files import MODULE, PTH, START, contents
from tests.launched import CHECKOUT, SECONDS, Place, busy_provider
from tests.test_run_matrix import CALL

ON = {"RESILIENCE_AUTO": "1"}
# A `.start` file only names a function: Python imports its module before anybody can ask for a variable (PEP 829).
_STARTS_BY_NAME = sys.version_info >= (3, 15)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=CHECKOUT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


class Environment:
    """A virtual environment with the wheel alone; what it needs, it finds where these tests found it."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = str(folder / "bin" / "python")
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.packages = folder / "lib" / version / "site-packages"
        zipfile.ZipFile(wheel).extractall(self.packages)
        (self.packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, *command: object, place: Place, **variables: str) -> subprocess.CompletedProcess[str]:
        """What its Python makes of arguments."""
        own = {name: value for name, value in place.environment.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.python, *map(str, command)], cwd=place.directory, env={**own, **variables},
            capture_output=True, encoding="utf-8", timeout=SECONDS, check=False,
        )  # fmt: skip

    def autoload(self, command: str, place: Place, **variables: str) -> tuple[int, str]:
        """What `resilience autoload` says, and its exit code."""
        done = self.run("-m", "resilience", "autoload", command, place=place, **variables)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A directory for programs, and a provider that is busy each first time."""
    with busy_provider() as provider:
        place = Place(tmp_path, provider)
        place.write("app.py", CALL)
        yield place


@pytest.fixture
def environment(tmp_path: Path, wheel: Path) -> Environment:
    """A fresh environment."""
    return Environment(tmp_path / "venv", wheel)


def test_it_is_enabled_and_disabled_and_leaves_nothing(environment: Environment, place: Place) -> None:
    """What is written is removed; each twice is once, and the status tells."""
    before = sorted(environment.packages.iterdir())
    folder = environment.packages

    assert (1, f"disabled in {folder}\nRESILIENCE_AUTO is not set\n") == environment.autoload("status", place)
    code, said = environment.autoload("enable", place)
    assert (0, f"enabled in {folder}") == (code, said.splitlines()[0])
    assert (0, f"already enabled in {folder}") == (code, environment.autoload("enable", place)[1].splitlines()[0])
    assert (0, f"enabled in {folder}\nRESILIENCE_AUTO is 1\n") == environment.autoload("status", place, **ON)
    # Python may have kept what it compiled.
    there = {path.name for path in folder.iterdir()} - {path.name for path in before} - {"__pycache__"}
    assert {MODULE, PTH, START} == there
    assert (0, f"disabled in {folder}\n") == environment.autoload("disable", place)
    assert (0, f"not enabled in {folder}\n") == environment.autoload("disable", place)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    assert before == sorted(environment.packages.iterdir())


def test_a_slip_of_the_pen_is_told(environment: Environment, place: Place) -> None:
    """Else it would pass for protection; an empty variable is none."""
    environment.autoload("enable", place)

    slip = environment.run("app.py", place=place, RESILIENCE_AUTO="true")
    place.provider.requests.clear()
    empty = environment.run("app.py", place=place, RESILIENCE_AUTO="")

    assert ("429\n", "resilience: RESILIENCE_AUTO is neither 1 nor 0, so no policy is obeyed\n") == (
        slip.stdout,
        slip.stderr,
    )
    assert ("429\n", "") == (empty.stdout, empty.stderr)


def test_programs_obey_where_the_variable_is_set(environment: Environment, place: Place) -> None:
    """Also an isolated Python; without the variable, with another value, and with -S, nothing happens."""
    environment.autoload("enable", place)
    cases = [
        ((), {}, "429"),
        ((), {"RESILIENCE_AUTO": "0"}, "429"),
        (("-S",), ON, ""),
        ((), ON, "200"),
        (("-I",), ON, "200"),
    ]

    for options, variables, expected in cases:
        place.provider.requests.clear()
        done = environment.run(*options, "app.py", place=place, **variables)

        # Without `site` no package is found at all.
        found = (done.stdout.strip(), done.stderr if expected else "", len(place.provider.requests))
        assert (expected, "", {"429": 1, "": 0, "200": 2}[expected]) == found, options


def test_it_is_started_once(environment: Environment, place: Place) -> None:
    """`site` reads the file twice in an environment of Python 3.11, and `resilience run` starts it a third time."""
    environment.autoload("enable", place)
    program = "import sys; print(sum(type(each).__name__ == 'ResilienceLauncher' for each in sys.meta_path))"

    alone = environment.run("-c", program, place=place, **ON)
    launched = environment.run("-m", "resilience", "run", "--", environment.python, "-c", program, place=place)

    assert ["1\n", "1\n"] == [alone.stdout, launched.stdout]


@pytest.mark.parametrize(
    "text", ["", "def install(config): raise RuntimeError\nclass errors: ConfigurationError = ValueError\n"]
)
def test_a_module_of_the_programs_own_with_this_librarys_name_is_told(
    text: str, environment: Environment, place: Place
) -> None:
    """It hides the library, and is not called in its place; unasked, nobody is told."""
    environment.autoload("enable", place)
    place.write("resilience.py", text)

    asked = environment.run("app.py", place=place, **ON)
    place.provider.requests.clear()
    unasked = environment.run("app.py", place=place)

    said = (
        f"resilience: {place.directory / 'resilience.py'} hides httpx-resilience, so no policy is obeyed; rename it\n"
    )
    assert [("429\n", said), ("429\n", "")] == [(done.stdout, done.stderr) for done in (asked, unasked)]


def test_run_reaches_isolated_pythons_there_and_does_not_warn(environment: Environment, place: Place) -> None:
    """What it could not do alone."""
    environment.autoload("enable", place)

    done = environment.run("-m", "resilience", "run", "--", environment.python, "-I", "app.py", place=place)

    assert ("200\n", "", 2) == (done.stdout, done.stderr, len(place.provider.requests))


def test_it_costs_next_to_nothing_where_it_is_off(environment: Environment, place: Place) -> None:
    """Not even its own module is imported, where Python itself does not; where it is on, nothing of the package is until a client is."""
    environment.autoload("enable", place)
    program = "import sys; print(sorted({'_resilience_autoload', 'resilience', 'httpx', 'importlib.util'} & set(sys.modules)))"

    off = environment.run("-c", program, place=place)
    on = environment.run("-c", program, place=place, **ON)

    assert _STARTS_BY_NAME or "_resilience_autoload" not in off.stdout
    assert "'_resilience_autoload'" in on.stdout
    assert "'resilience'" not in off.stdout + on.stdout
    assert "'httpx'" not in off.stdout + on.stdout


@pytest.mark.parametrize("fault", ["package", "module", "configuration"])
def test_no_fault_keeps_an_interpreter_from_starting(fault: str, environment: Environment, place: Place) -> None:
    """A package that was uninstalled, a file that was removed, a wrong configuration: a few words at most."""
    environment.autoload("enable", place)
    if fault == "package":
        shutil.rmtree(environment.packages / "resilience")
    elif fault == "module":
        (environment.packages / MODULE).unlink()
    else:
        place.write("resilience.yaml", "version: 2\n")

    off = environment.run("app.py", place=place)
    on = environment.run("-c", CALL.replace("status_code", "is_error"), place=place, **ON)

    if fault == "module" and _STARTS_BY_NAME:
        assert "No module named '_resilience_autoload'" in off.stderr
    else:
        assert "" == off.stderr
    assert (0, "429\n") == (off.returncode, off.stdout)
    # The provider is busy each first time only.
    assert (0, "False\n") == (on.returncode, on.stdout)
    expected = {
        "package": "resilience: RESILIENCE_AUTO is 1, but no policy is obeyed: httpx-resilience is not installed in",
        "module": "No module named '_resilience_autoload'",
        "configuration": "resilience: the configuration cannot be honoured",
    }
    assert expected[fault] in on.stderr
    if fault != "module":
        assert 1 == on.stderr.count("resilience: ")


def test_files_of_another_version_are_told_and_renewed(environment: Environment, place: Place) -> None:
    """An upgrade may bring others."""
    environment.autoload("enable", place)
    (environment.packages / MODULE).write_text("def start():\n    pass\n")

    code, said = environment.autoload("status", place)
    environment.autoload("enable", place)
    data = environment.run("-m", "resilience", "autoload", "status", "--json", place=place)

    assert (1, True) == (code, "outdated" in said and "autoload enable` again" in said)
    told = json.loads(data.stdout)
    assert ("enabled", sorted(contents())) == (told["state"], sorted(told["files"]))


def test_a_folder_of_somebody_else_is_a_mistake(environment: Environment, place: Place) -> None:
    """Nothing is left by halves; the message says where and what to do."""
    # A directory in the place of a file stops also those who may write everything.
    (environment.packages / MODULE).mkdir()

    code, said = environment.autoload("enable", place)

    assert (2, True) == (code, f"{environment.packages / MODULE} cannot be written" in said), said
    assert not (environment.packages / PTH).exists()
    assert not list(environment.packages.glob(f"{MODULE}.*"))
    code, said = environment.autoload("disable", place)
    assert (2, True) == (code, "cannot be removed" in said)


def test_the_entry_point_does_nothing_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a tracer calls."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delenv("RESILIENCE_AUTO", raising=False)
    before = list(sys.meta_path)

    _autoload.start()

    assert before == sys.meta_path
    assert os.environ.get("RESILIENCE_AUTO") is None


def test_the_start_file_names_a_function_that_is_there(environment: Environment, place: Place) -> None:
    """As Python 3.15 reads it: a module and what to call in it."""
    environment.autoload("enable", place)
    module, _, name = (environment.packages / START).read_text().strip().partition(":")

    count = "sum(type(each).__name__ == 'ResilienceLauncher' for each in sys.meta_path)"
    program = f"import sys, {module}; {module}.{name}(); {module}.{name}(); print({count})"

    # As if there were no other file that calls it.
    (environment.packages / PTH).unlink()
    off = environment.run("-c", program, place=place)
    on = environment.run("-c", program, place=place, **ON)

    assert [("0\n", ""), ("1\n", "")] == [(done.stdout, done.stderr) for done in (off, on)]
