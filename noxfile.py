"""The checks that need an environment of their own: other Pythons, other versions of the dependencies, the wheel.

Daily work needs none of this: `make test` uses `.venv`. A Python that is not on this machine is skipped, and nox says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
# Also where CI is set, which would make a missing interpreter an error.
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "lowest", "docs", "wheel"]

CHECKOUT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(CHECKOUT / "pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
OLDEST = PYTHONS[0]

# pyenv's shims run nothing but the chosen versions; here all of them are meant.
if pyenv := shutil.which("pyenv"):
    versions = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=True).stdout.split()
    os.environ["PYENV_VERSION"] = ":".join(version for version in versions if version.startswith(tuple(PYTHONS)))

# Runs with only the wheel in sight: the policies that it ships must be those of the checkout, and each must load.
CHECK_WHEEL = """
import importlib.resources
import sys

import resilience

folder = importlib.resources.files("resilience") / "policies"
shipped = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
expected = sys.argv[1:]
assert shipped == expected, f"the wheel ships {shipped}, the checkout has {expected}"
assert (importlib.resources.files("resilience") / "py.typed").is_file(), "py.typed is missing"
for name in shipped:
    resilience.load_policy(name.removesuffix(".yaml"))
# A policy whose JSON is not in the wheel, or was made from another YAML, would have needed the parser.
assert "yaml" not in sys.modules, "the wheel has no JSON of its policies, or none that is heeded"
print(f"{resilience.__file__}: {len(shipped)} policies loaded")
"""

# Runs where nothing was installed but the wheel: no framework, no SDK, no client of anything has come along.
CHECK_ALONE = """
import importlib.metadata
import threading

import resilience

came = {each.metadata["Name"].lower() for each in importlib.metadata.distributions()}
unasked = came & {
    *("aiobreaker", "anthropic", "asgiref", "django", "fastapi", "flask", "groq", "httpx", "httpx2", "limits", "litestar"),
    *("openai", "opentelemetry-api", "redis", "starlette", "uvicorn", "valkey", "werkzeug"),
}
assert not unasked, f"the wheel alone brings {sorted(unasked)}"
assert threading.active_count() == 1, "the import starts a thread"
print(f"the wheel alone brings: {', '.join(sorted(came))}")
"""


def run_tests(session: nox.Session) -> None:
    """Run pytest with the session's arguments."""
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each supported Python, with the newest dependencies."""
    session.install("--upgrade", "--editable", ".[all]", "--group", "test")
    run_tests(session)


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions of the dependencies that pyproject.toml allows."""
    pins = Path(session.create_tmp()) / "lowest.txt"
    session.run_install(
        *("uv", "pip", "compile", "--quiet", "--resolution", "lowest-direct", "--all-extras"),
        *("--python-version", OLDEST, "--output-file", str(pins), "pyproject.toml"),
        external=True,
    )
    session.install("--editable", ".[all]", "--group", "test-lowest", "--constraint", str(pins))
    # It shows taskiq with Redis, which needs a later redis (`test` in pyproject.toml).
    page = "tests/test_docs.py::test_a_page_can_be_followed_from_its_start_to_its_end[docs/how-to/task-queues.md]"
    session.run("python", "-m", "pytest", "--ignore=tests/test_taskiq.py", f"--deselect={page}", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Look for what ruff knows to be wrong, and check the formatting."""
    session.install("--group", "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy and pyright."""
    session.install("--editable", ".[all]", "--group", "test", "--group", "lint")
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken link is an error."""
    session.install("--editable", ".[all]", "--group", "docs")
    session.run("mkdocs", "build", "--strict", env={"DISABLE_MKDOCS_2_WARNING": "true", "NO_MKDOCS_2_WARNING": "1"})


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist, the wheel from it, and load every shipped policy where only the wheel is installed."""
    session.install("build[uv]")
    policies = sorted(path.name for path in (CHECKOUT / "policies").glob("*.yaml"))
    if not policies:
        session.error("there is no policy to ship in policies/")
    with tempfile.TemporaryDirectory(prefix="httpx-resilience-") as folder:
        outside = Path(folder)
        session.run("python", "-m", "build", "--installer", "uv", "--outdir", str(outside), silent=True)
        (built,) = outside.glob("*.whl")
        session.run("uv", "venv", "--quiet", "--python", str(session.python or "python"), str(outside / "venv"))
        python = str(outside / "venv" / "bin" / "python")
        session.run("uv", "pip", "install", "--quiet", "--python", python, f"{built}[all]", external=True)
        session.run("uv", "venv", "--quiet", "--python", str(session.python or "python"), str(outside / "alone"))
        alone = str(outside / "alone" / "bin" / "python")
        session.run("uv", "pip", "install", "--quiet", "--python", alone, str(built), external=True)
        session.run(alone, "-I", "-c", CHECK_ALONE, external=True)
        check = outside / "check.py"
        check.write_text(CHECK_WHEEL)
        with session.chdir(outside):
            session.run(python, "-I", str(check), *policies, external=True)
            session.run(str(outside / "venv" / "bin" / "resilience"), "--help", silent=True, external=True)
