"""`resilience run` with real processes: what the program sees, what it returns, and what stops it from starting."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience.cli._launch import Options, environment, quick
from tests.launched import CHECKOUT, Place, busy_once
from tests.rawserver import RawServer

LAUNCHER = CHECKOUT / "resilience" / "_launcher"
CALL = """
import sys, {library}
response = {library}.get(sys.argv[1])
print(response.status_code, len(response.extensions["resilience"].attempts))
"""


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A provider that is busy once."""
    with busy_once() as server:
        yield server


@pytest.fixture
def directory(tmp_path: Path, server: RawServer) -> Path:
    """A directory with a configuration for that provider."""
    return Place(tmp_path, server).directory


def run(
    *command: object,
    directory: Path,
    options: tuple[object, ...] = (),
    variables: dict[str, str] | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """What `resilience run` in this directory does with a command."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RESILIENCE_")}
    return subprocess.run(
        [sys.executable, "-m", "resilience", "run", *map(str, options), "--", *map(str, command)],
        cwd=directory,
        env={**own, "PYTHONPATH": str(CHECKOUT), **(variables or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def python(program: str, *arguments: object) -> tuple[object, ...]:
    """A command that runs a program in this Python."""
    return (sys.executable, "-c", textwrap.dedent(program), *arguments)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_program_obeys_the_policies_unchanged(library: str, directory: Path, server: RawServer) -> None:
    """A 429 and then a 200 is a 200 for a program that knows nothing of this library."""
    done = run(*python(CALL.format(library=library), server.url), directory=directory)

    assert (0, "200 2\n", "") == (done.returncode, done.stdout, done.stderr)


def test_the_programs_own_input_output_and_exit_code(tmp_path: Path) -> None:
    """All of them are the program's: nothing is read, nothing is added."""
    program = "import sys; print(sys.stdin.read()[::-1], sys.argv[1:]); sys.stderr.write('own'); sys.exit(7)"

    done = run(*python(program, "--config", "--", "-h"), directory=tmp_path, stdin="abc")

    assert (7, "cba ['--config', '--', '-h']\n", "own") == (done.returncode, done.stdout, done.stderr)


def test_a_signal_ends_the_program_itself(tmp_path: Path) -> None:
    """There is no process in between that would have to pass it on."""
    done = run(*python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"), directory=tmp_path)

    assert -signal.SIGTERM == done.returncode


def test_a_broken_pipe_ends_the_program_quietly(tmp_path: Path) -> None:
    """Python ignores SIGPIPE; the program does not inherit that, or `yes` would complain."""
    done = run("sh", "-c", "yes | head -n 1", directory=tmp_path)

    assert (0, "y\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_program_that_calls_nothing_does_not_pay(tmp_path: Path) -> None:
    """Until httpx or httpx2 is imported, nothing of this library is, nor what it needs."""
    program = "import sys; print([name for name in ('resilience', 'pydantic', 'yaml', 'httpx', 'typing') if name in sys.modules])"

    done = run(*python(program), directory=tmp_path)

    assert ("[]\n", "") == (done.stdout, done.stderr)


def test_children_obey_too_wherever_they_run(
    directory: Path, server: RawServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The configuration is passed on by its absolute path, so another working directory changes nothing."""
    program = (
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[2:]], cwd=sys.argv[1]))"
    )
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    done = run(*python(program, elsewhere, CALL.format(library="httpx"), server.url), directory=directory)

    assert (0, "200 2\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_configuration_by_name(directory: Path, server: RawServer) -> None:
    """`--config` is taken from the directory where the command is typed."""
    (directory / "resilience.yaml").rename(directory / "other.yaml")

    done = run(
        *python(CALL.format(library="httpx"), server.url), directory=directory, options=("--config", "other.yaml")
    )

    assert (0, "200 2\n", "") == (done.returncode, done.stdout, done.stderr)


def test_the_configuration_is_the_one_of_the_start(
    directory: Path, server: RawServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A program that goes to a directory with another configuration keeps what it was started with."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "resilience.yaml").write_text("version: 1\nproviders: {nobody: {off: true}}\n")
    program = f"import os, sys; os.chdir({str(elsewhere)!r})\n" + CALL.format(library="httpx")

    with_one = run(*python(program, server.url), directory=directory)
    without = run(*python(program.replace('len(response.extensions["resilience"].attempts)', "1"), server.url), directory=tmp_path_factory.mktemp("empty"))  # fmt: skip

    assert ("200 2\n", "") == (with_one.stdout, with_one.stderr)
    assert ("200 1\n", "") == (without.stdout, without.stderr)


def test_another_sitecustomize_is_still_run(directory: Path, server: RawServer) -> None:
    """Also when the launcher stands on the path twice, because one `run` started another."""
    own = directory / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys\nsys.own = __file__\n")
    program = "import sys, sitecustomize; print(sys.own == sitecustomize.__file__)\n" + CALL.format(library="httpx")
    path = os.pathsep.join([str(CHECKOUT), str(LAUNCHER), str(own), str(LAUNCHER)])
    again = (sys.executable, "-m", "resilience", "run")

    done = run(*again, *python(program, server.url), directory=directory, variables={"PYTHONPATH": path})

    assert (0, "True\n200 2\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_copy_of_the_launcher_does_not_go_round_in_circles(directory: Path, server: RawServer) -> None:
    """Two installations of this library may stand on the path: each runs once, and the policies apply once."""
    shutil.copytree(LAUNCHER, directory / "copy")
    path = os.pathsep.join([str(CHECKOUT), str(directory / "copy")])

    done = run(*python(CALL.format(library="httpx"), server.url), directory=directory, variables={"PYTHONPATH": path})

    assert (0, "200 2\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_broken_sitecustomize_is_pythons_to_report(directory: Path, server: RawServer) -> None:
    """Its error is shown as Python shows it, and the policies apply nevertheless."""
    own = directory / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("raise RuntimeError('own mistake')\n")
    path = os.pathsep.join([str(CHECKOUT), str(own)])
    command = python(CALL.format(library="httpx"), server.url)
    own_python = [sys.executable, "-c", "pass"]

    done = run(*command, directory=directory, variables={"PYTHONPATH": path})
    plain = subprocess.run(own_python, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)  # fmt: skip

    # `resilience` is a Python program too, and so it is reported twice.
    assert (0, "200 2\n", 2 * plain.stderr) == (done.returncode, done.stdout, done.stderr)
    assert "own mistake" in done.stderr


def test_what_the_program_installs_itself_stands(directory: Path, server: RawServer) -> None:
    """Its own `install`, before the first import of httpx, is not replaced by ours."""
    program = """
        import sys, resilience
        resilience.install({"version": 1})
        import httpx
        response = httpx.get(sys.argv[1])
        print(response.status_code, "resilience" in response.extensions)
    """

    done = run(*python(program, server.url), directory=directory)

    assert (0, "429 False\n", "") == (done.returncode, done.stdout, done.stderr)


def test_looking_for_httpx_is_not_importing_it(directory: Path, server: RawServer) -> None:
    """`find_spec`, by which programs ask what is there, finds it, and the import that follows is patched."""
    program = 'import importlib.util; assert importlib.util.find_spec("httpx").name == "httpx"\n' + CALL.format(
        library="httpx"
    )

    done = run(*python(program, server.url), directory=directory)

    assert (0, "200 2\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_program_that_finds_its_modules_in_the_working_directory_still_does(directory: Path) -> None:
    """By an empty entry of the path, as `PYTHONPATH=$PYTHONPATH:/srv/lib` makes one."""
    (directory / "beside.py").write_text("print('found')\n")
    (directory / "bin").mkdir()
    (directory / "bin" / "app.py").write_text("import beside\n")
    path = os.pathsep.join(["", str(CHECKOUT)])

    done = run(sys.executable, "bin/app.py", directory=directory, variables={"PYTHONPATH": path})

    assert (0, "found\n", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("frozen", ["", "sys.frozen = True"])
def test_a_python_without_this_library_runs_as_ever(frozen: str, directory: Path, server: RawServer) -> None:
    """The path is inherited by other environments: of the program itself that is said, of what it starts it is not."""
    program = f"""
        import sys
        sys.modules["resilience"] = None
        {frozen}
        import httpx
        print(httpx.get(sys.argv[1]).status_code)
    """
    child = ("sh", "-c", '"$@"; exit $?', "sh")

    itself = run(*python(program, server.url), directory=directory)
    started = run(*child, *python(program.replace("status_code", "is_error"), server.url), directory=directory)

    where = "this frozen program" if frozen else sys.prefix
    said = f"resilience: httpx-resilience cannot be imported in {where}, so no policy is obeyed"
    assert (0, "429\n", said) == (itself.returncode, itself.stdout, itself.stderr.partition(" (")[0])
    assert (0, "False\n", "") == (started.returncode, started.stdout, started.stderr)


@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
def test_a_wrong_configuration_stops_the_program(named: bool, tmp_path: Path) -> None:
    """Its mistakes are shown once, with their places, and the program does not start."""
    (tmp_path / "resilience.yaml").write_text("version: 1\npolices: []\n")

    done = run(*python("print('started')"), directory=tmp_path, options=("-c", "resilience.yaml") if named else ())

    message = "resilience: resilience.yaml:2:1: unknown key 'polices' (did you mean 'policies'?)\n"
    assert (2, "", message) == (done.returncode, done.stdout, done.stderr)


def test_a_slip_in_the_switch_passes_neither_for_on_nor_for_off(tmp_path: Path) -> None:
    """As one in any other variable of this library."""
    done = run(*python("print('started')"), directory=tmp_path, variables={"RESILIENCE_AUTO": "off"})

    said = "resilience: RESILIENCE_AUTO is 'off'; write 0 to switch off, or unset it\n"
    assert (2, "", said) == (done.returncode, done.stdout, done.stderr)


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    """The file is named, and the program does not start."""
    done = run(*python("print('started')"), directory=tmp_path, options=("--config", "none.yaml"))

    message = "resilience: 'none.yaml' cannot be read: No such file or directory; check its name and rights\n"
    assert (2, "", message) == (done.returncode, done.stdout, done.stderr)


def test_a_configuration_that_breaks_on_the_way(tmp_path: Path) -> None:
    """The program itself ends before it calls anybody; one that it starts goes on without policies."""
    (tmp_path / "wrong.yaml").write_text("version: 2\n")
    command = ("env", "RESILIENCE_CONFIG=wrong.yaml", *python("import httpx; print('imported')"))

    itself = run(*command, directory=tmp_path)
    child = run("sh", "-c", '"$@"; echo $?', "sh", *command, directory=tmp_path)

    message = (
        f"resilience: the configuration cannot be honoured\n{tmp_path}/wrong.yaml:1:10: 'version' must be 1, not 2\n"
    )
    assert (2, "", message) == (itself.returncode, itself.stdout, itself.stderr)
    assert (0, "imported\n0\n", message) == (child.returncode, child.stdout, child.stderr)


def test_what_was_done_can_be_told_at_the_end(directory: Path, server: RawServer) -> None:
    """`--explain` prints the trails of touched calls on standard error."""
    done = run(*python(CALL.format(library="httpx"), server.url), directory=directory, options=("--explain",))

    assert (0, "200 2\n") == (done.returncode, done.stdout)
    assert "1 of 1 calls touched" in done.stderr
    assert "429 rate_limited" in done.stderr


def refused(name: str, directory: Path) -> tuple[int, str]:
    """Exit code and message for a command that is not run."""
    done = run(name, directory=directory)
    assert not done.stdout
    return done.returncode, done.stderr


def test_commands_that_cannot_be_run(tmp_path: Path) -> None:
    """The exit codes are those of a shell, and the message says what to do."""
    (tmp_path / "app.py").write_text("print('hello')\n")
    (tmp_path / "tool").write_text("hello\n")
    (tmp_path / "binary").write_bytes(b"\x7fELF")
    (tmp_path / "binary").chmod(0o755)

    assert (127, "resilience: nonesuch: command not found; check its spelling and PATH\n") == refused(
        "nonesuch", tmp_path
    )
    hint = "resilience: app.py is a Python file, not a command; write: resilience run -- python app.py\n"
    assert (127, hint) == refused("app.py", tmp_path)
    hint = "resilience: ./tool is not executable; allow it with: chmod +x ./tool\n"
    assert (126, hint) == refused("./tool", tmp_path)
    hint = "resilience: ./binary cannot be executed: Exec format error; is it made for this machine?\n"
    assert (126, hint) == refused("./binary", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("python app.py", (Options(), ["python", "app.py"])),
        ("-- python -I", (Options(), ["python", "-I"])),
        ("-c a.yaml --explain python --help", (Options("a.yaml", explain=True), ["python", "--help"])),
        ("--config a.yaml -- -odd", (Options("a.yaml"), ["-odd"])),
        ("--config", None),
        ("--config=a.yaml python", None),
        ("--help", None),
        ("--", None),
        ("", None),
    ],
)
def test_plain_arguments_are_read_without_a_parser(arguments: str, expected: tuple[Options, list[str]] | None) -> None:
    """What is not plain is left to the parser of the command line."""
    assert expected == quick(arguments.split())


def test_the_launcher_comes_first_and_once() -> None:
    """Whatever was on the path stays, in its order; an empty entry is the working directory, an empty path is none."""
    own = {"PYTHONPATH": os.pathsep.join(["one", "", str(LAUNCHER), "two", ""])}

    changed = environment(own, Options())

    assert os.pathsep.join([str(LAUNCHER), "one", "", "two", ""]) == changed["PYTHONPATH"]
    assert (
        str(LAUNCHER)
        == environment({}, Options())["PYTHONPATH"]
        == environment({"PYTHONPATH": ""}, Options())["PYTHONPATH"]
    )
    assert {"PYTHONPATH", "RESILIENCE_AUTO", "RESILIENCE_RUN_PID"} == changed.keys()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no shell that closes a stream")
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_supervisor_may_have_closed_its_streams(directory: Path, closed: str) -> None:
    """The program is started as ever, with the same streams closed; other commands end with their codes."""
    program = (
        "import sys; from pathlib import Path; Path('found').write_text(f'{sys.stdout is None} {sys.stderr is None}')"
    )
    own = {**os.environ, "PYTHONPATH": str(CHECKOUT)}

    def codes(*command: str) -> int:
        line = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, *command]
        return subprocess.run(line, cwd=directory, env=own, capture_output=True, timeout=60, check=False).returncode

    assert 0 == codes("-m", "resilience", "run", "--", sys.executable, "-c", program)
    assert f"{'1>' in closed} {'2>' in closed}" == (directory / "found").read_text()
    assert 0 == codes("-m", "resilience", "check", "resilience.yaml")
    assert 2 == codes("-m", "resilience", "check", "nowhere.yaml")
