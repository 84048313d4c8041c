"""The documentation is true: its samples run, its commands give what is shown, its links lead somewhere."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import resilience
import resilience.httpx
from resilience._config_model import Config
from resilience._load import load
from resilience.testing import VirtualClock, fake_provider
from tests.installed import as_installed

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {path.relative_to(ROOT).as_posix(): path for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]}
GENERATED = re.compile(r"reference/(policy-file|configuration-file|categories)\.md|providers/[a-z0-9-]+\.md")
FENCE = re.compile(
    r'^(?P<indent> *)```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)
# In three lines: ruff formats Python in Markdown, and takes the form in one line for a comparison.
SNIPPET = re.compile(r"^--8<--\n(.+)\n--8<--$", re.MULTILINE)
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
# What a policy needs besides the part that a page shows.
FRAME = {"version": "version: 1", "provider": "provider: sample", "match": "match: {hosts: [api.sample.example]}"}
# These need a network, an account, a program that is not there, or hours. The options of each are looked at all the same.
NOT_RUN = {"pip", "make", "tar", "mv", "cd", "resilience run -- python app.py", "resilience run -- uvicorn shop:app"}
NOT_RUN |= {"resilience run -- pytest", "resilience run --config staging.yaml -- python -m worker"}
NOT_RUN |= {"python -m pytest -rf", "resilience run --config ../resilience.yaml -- python -m pytest -rf"}
# These would change the environment of these tests.
NOT_RUN |= {"resilience autoload enable", "RESILIENCE_AUTO=1 python -I app.py"}
# A reference of forms: its commands stand for themselves, and have tests of their own.
FORMS = "docs/reference/command-line.md"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with the files that it includes."""

    page: str
    language: str
    title: str | None
    text: str

    @property
    def commands(self) -> Iterator[tuple[str, str]]:
        """The command lines of a console, each with the output that is shown."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = PAGES[page].read_text(encoding="utf-8")
    found: list[Block] = []
    for match in FENCE.finditer(text):
        inner = SNIPPET.sub(lambda name: (ROOT / name[1]).read_text(encoding="utf-8"), textwrap.dedent(match["text"]))
        found.append(Block(page, match["language"], match["title"], inner))
    return found


BLOCKS = {page: blocks_of(page) for page in PAGES}
COMMANDS = [
    (page, command)
    for page, blocks in BLOCKS.items()
    for block in blocks
    if block.language == "console"
    for command, _ in block.commands
]


def is_run(command: str) -> bool:
    """Whether a command is typed, or only looked at."""
    return command not in NOT_RUN and command.split(maxsplit=1)[0] not in NOT_RUN


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


class Shell:
    """A directory in which the steps of a page are done, one after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._servers: list[subprocess.Popen[str]] = []
        self._ports: dict[str, str] = {}
        tools = directory / ".bin"
        tools.mkdir()
        # The commands as they are typed, for the Python of these tests.
        for name, arguments in {
            "python": "",
            "pytest": "-m pytest -p no:cacheprovider -p no:ddtrace",
            "resilience": "-m resilience",
        }.items():
            (tools / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
            (tools / name).chmod(0o755)
        as_installed(tools / "site")
        paths = {"PATH": [tools, os.environ["PATH"]], "PYTHONPATH": [tools / "site", ROOT]}
        own = {name: os.pathsep.join(map(str, folders)) for name, folders in paths.items()} | {"PYTHONUNBUFFERED": "1"}
        self._environment = {**os.environ, **own, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
        self._environment.pop("RESILIENCE_CONFIG", None)

    def write(self, name: str, text: str) -> None:
        """A file of the page."""
        (self.directory / name).write_text(self._ported(text), encoding="utf-8")

    def run(self, command: str) -> tuple[int, str]:
        """The exit code, and all that a terminal would show."""
        # Measuring properly takes its time; once shows that it can be done.
        command = self._ported(command).replace("-m timeit", "-m timeit -n 1 -r 1")
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.directory, env=self._environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False,
        )  # fmt: skip
        return done.returncode, self._unported(done.stdout)

    def serve(self, command: str) -> str:
        """Start what goes on until it is interrupted; its first line."""
        server = subprocess.Popen(
            ["sh", "-c", f"exec {self._ported(command)}"], cwd=self.directory, env=self._environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        )  # fmt: skip
        self._servers.append(server)
        assert server.stdout is not None
        return self._unported(server.stdout.readline())

    def close(self) -> None:
        """Stop what goes on."""
        for server in self._servers:
            server.terminate()
            server.communicate()

    def _ported(self, text: str) -> str:
        # Two runs of these tests must not fight for the ports that a page names.
        for port in re.findall(r"(?:127\.0\.0\.1:|--port )(\d+)", text):
            self._ports.setdefault(port, free_port())
        return re.sub(r"(127\.0\.0\.1:|--port )(\d+)", lambda match: match[1] + self._ports[match[2]], text)

    def _unported(self, text: str) -> str:
        for port, given in self._ports.items():
            text = text.replace(f"127.0.0.1:{given}", f"127.0.0.1:{port}")
        return text


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """An empty directory, and a terminal in it."""
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def lines_of(text: str) -> list[str]:
    """The lines, with single blanks."""
    return [" ".join(line.split()) for line in text.rstrip().split("\n")]


def shows(shown: str, found: str) -> bool:
    """Whether a page shows an output: a line of `...` stands for any lines, `…` for any text, blanks for blanks."""
    if not shown.strip():
        return True
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in lines_of(shown)
    )
    return re.fullmatch(pattern, "\n".join(lines_of(found)) + "\n") is not None


@pytest.mark.parametrize("page", [page for page in PAGES if BLOCKS[page] and page not in {FORMS, "README.md"}])
def test_a_page_can_be_followed_from_its_start_to_its_end(page: str, shell: Shell) -> None:
    """Its files are written, its commands typed, its Python run; what comes is what it shows, and what was written stays."""
    written: dict[Path, str] = {}
    for block in BLOCKS[page]:
        if block.title is not None:
            shell.write(block.title, block.text)
            path = shell.directory / block.title
            written[path] = path.read_text("utf-8")
        elif block.language == "python":
            shell.write("sample.py", block.text)
            code, output = shell.run("python sample.py")
            assert 0 == code, f"{block.text}\n{output}"
        for command, shown in block.commands if block.language == "console" else ():
            if not is_run(command):
                continue
            if command.startswith("resilience fake-provider"):
                code, output = 0, shell.serve(command)
            else:
                code, output = shell.run(command)
            fails = "Traceback" in shown or "problems" in shown
            assert shows(shown, output), f"$ {command}\n{output}"
            assert code == (1 if fails and "0 problems" not in shown else 0), f"$ {command}\n{output}"
            assert written == {path: path.read_text("utf-8") for path in written}, f"$ {command}"


@pytest.mark.parametrize("name", ["explain anakin", "test policies/anakin.yaml"])
def test_the_reference_shows_what_a_command_prints(name: str) -> None:
    """All but its numbers, which change with the policy."""
    command, shown = next(
        (command, output)
        for block in BLOCKS[FORMS]
        for command, output in block.commands
        if command.startswith(f"resilience {name}")
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    environment.pop("RESILIENCE_CONFIG", None)

    arguments = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(arguments, capture_output=True, encoding="utf-8", check=True, cwd=ROOT, env=environment)

    assert shows(re.sub(r"\d+", "0", shown), re.sub(r"\d+", "0", done.stdout)), done.stdout


def masked(text: str) -> str:
    """Without what changes from run to run, or with a policy: numbers, digests, the widths of columns."""
    return re.sub("─+", "─", re.sub(r"\d+", "0", re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{8,16}\b", "0", text)))


def test_the_reference_shows_what_commands_make_of_a_shared_store(shell: Shell) -> None:
    """Of one in which ten calls have failed and one is under way."""
    url = f"sqlite:///{shell.directory / 'shared.db'}"
    commands = [
        entry
        for block in BLOCKS[FORMS]
        for entry in block.commands
        if entry[0].startswith(("resilience status ", "resilience breaker "))
    ]
    found: list[str] = []

    def look() -> None:
        for command, _ in commands:
            typed = command.replace("redis://localhost:6379", url).replace(" --watch", "")
            code, output = shell.run(typed)
            assert code == 0, output
            found.append(output.replace(url, "redis://localhost:6379"))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "api.anakin.io":
            return httpx.Response(503)
        look()
        return httpx.Response(200, json={"success": True})

    config = {"version": 1, "store": url, "providers": {"omniscrape": {"plan": "payg"}}}
    bare = httpx.Client(transport=httpx.MockTransport(answer), headers={"X-API-Key": "a key"})
    with resilience.wrap(bare, config=config) as client:
        for _ in range(10):
            client.post("https://api.anakin.io/v1/search", extensions={"resilience": {"max_attempts": 1}})
        client.post("https://api.omniscrape.io/v1/scrape")

    assert 5 == len(found)
    for (command, shown), output in zip(commands, found, strict=True):
        assert shows(masked(shown), masked(output)), f"$ {command}\n{output}"


@cache
def options_of(command: str) -> set[str]:
    """What the command itself says that it takes."""
    arguments = [sys.executable, "-m", "resilience", *command.split(), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    shown = subprocess.run(arguments, capture_output=True, encoding="utf-8", check=True, env=environment)
    return set(re.findall(r"--[a-z-]+", shown.stdout))


@pytest.mark.parametrize(("page", "command"), [entry for entry in COMMANDS if "resilience " in entry[1]])
def test_a_command_line_has_only_options_that_exist(page: str, command: str) -> None:
    """Also where the command is not run."""
    words = shlex.split(command)
    words = words[words.index("resilience") + 1 :]
    given = itertools.takewhile(lambda word: word not in {"--", ">", "|"}, words)
    options = {word for word in given if re.fullmatch(r"--[a-z-]+", word)}

    known = options_of(" ".join(words[: 2 if words[0] in {"breaker", "config", "credits"} else 1]))

    assert set() == options - known


@pytest.mark.parametrize("block", [block for page in PAGES for block in BLOCKS[page] if block.language == "yaml"])
def test_a_policy_in_the_documentation_can_be_honoured(block: Block, tmp_path: Path) -> None:
    """Parts of files are given the keys that every file has; the mistake that the tutorial makes is one."""
    path = tmp_path / "sample.yaml"
    # What the samples of the tutorial extend.
    shutil.copy(ROOT / "examples" / "tutorial" / "parcels.yaml", tmp_path)
    parsed: Any = yaml.safe_load(block.text) or {}
    if block.page == "README.md":
        excerpt = textwrap.indent(textwrap.dedent(block.text.removeprefix("answers:\n")), "  ")
        assert excerpt in (ROOT / "policies" / "omniscrape.yaml").read_text(encoding="utf-8")
    elif block.title == "resilience.yaml" or "providers" in parsed or "policies" in parsed:
        path.write_text(block.text)
        assert 1 == load(path, Config).version
    else:
        missing = [line for key, line in FRAME.items() if key not in parsed]
        path.write_text("\n".join([*missing, block.text]))
        if block.title == "mistake.yaml":
            with pytest.raises(resilience.errors.PolicyError):
                resilience.load_policy(path)
        else:
            assert resilience.load_policy(path).provider


def test_the_readme_tells_what_happens(shell: Shell) -> None:
    """Its plain program fails at a 429; run with the library it does not; and its other blocks run."""
    plain, *others = (block.text for block in BLOCKS["README.md"] if block.language == "python")
    assert [("README.md", "resilience run -- python app.py")] == [
        entry for entry in COMMANDS if entry[0] == "README.md"
    ][:1]

    with fake_provider("anakin", script="429 retry-after 1, 429 retry-after 1, success") as provider:
        host = provider.url.removeprefix("http://")
        (shell.directory / "app.py").write_text(plain.replace("https://api.anakin.io", provider.url))
        (shell.directory / "resilience.yaml").write_text(f'version: 1\nproviders: {{anakin: {{hosts: ["{host}"]}}}}\n')
        bare, _ = shell.run("python app.py")
        with_it, output = shell.run("resilience run -- python app.py")

    assert (1, 0) == (bare, with_it), output
    assert [429, 429, 200] == [request.status for request in provider.requests]
    for other in others:
        shell.write("other.py", other)
        assert 0 == shell.run("python other.py")[0]


def test_the_trail_in_the_readme_is_a_real_one() -> None:
    """All but its numbers."""
    shown = next(block.text for block in BLOCKS["README.md"] if block.text.startswith("anakin search"))

    with fake_provider("anakin", script="429 retry-after 2, success") as provider:
        transport = resilience.httpx.Transport(policies=[provider.policy], clock=VirtualClock())
        with httpx.Client(transport=transport, base_url=provider.url) as client:
            trail = resilience.trail_of(client.post("/v1/search"))

    assert re.sub(r"\d", "0", shown.strip()) == re.sub(r"\d", "0", str(trail))


def test_the_trails_on_the_page_of_credits_are_real_ones(tmp_path: Path) -> None:
    """All but their numbers: what was settled, a budget that is used up, an account that is shut."""
    text = next(block.text for block in BLOCKS["docs/layers/credits.md"] if "settled: " in block.text)
    shown = [re.sub(r"[\d.]+", "0", line.strip()) for line in text.splitlines()]
    (tmp_path / "scans.yaml").write_text(
        "{version: 1, provider: scans, match: {hosts: [scans.test]}, account: {headers: [Key]}, credits: {charged: paid}}"
    )
    budgets = [{"name": "job", "limit": "10 credits", "per": "tag.job"}]
    config = {"version": 1, "policies": [str(tmp_path / "scans.yaml")], "providers": {"scans": {"budgets": budgets}}}
    answers = iter([httpx.Response(200, json={"paid": 9}), httpx.Response(402)])
    transport = resilience.httpx.Transport(
        httpx.MockTransport(lambda _: next(answers)), config=config, clock=VirtualClock()
    )
    found: list[str] = []

    with httpx.Client(transport=transport) as client, resilience.tags(job="nightly"):
        for worst in (9.5, 5, 1, 1):
            answer = client.get("https://scans.test/", extensions={"resilience": {"credits": worst}})
            found += [re.sub(r"[\d.]+", "0", line.strip()) for line in str(resilience.trail_of(answer)).splitlines()]

    assert [line.replace("USD", "credits") for line in shown] == [
        line for line in found if line.startswith(("settled", "refused"))
    ]


def test_the_readme_installs_and_makes_what_exists() -> None:
    """The extras are those of the project, the targets those of the Makefile."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    commands = [shlex.split(command) for page, command in COMMANDS if page == "README.md"]
    named = {name for words in commands if words[0] == "pip" for name in re.findall(r"\[(.+)\]", words[-1])}
    made = {words[1] for words in commands if words[0] == "make"}

    assert {"httpx", "httpx2"} == named & set(extras)
    assert {"demo", "test"} == made & targets


def test_the_readme_lists_the_shipped_policies() -> None:
    """All of them, with their hosts."""
    text = PAGES["README.md"].read_text(encoding="utf-8")
    listed = {
        match[1]: set(re.findall(r"`([^`]+)`", match[2]))
        for match in re.finditer(r"^\| [^|]+ \| `(\S+)` \| (.+) \|$", text, re.MULTILINE)
    }

    shipped = (resilience.load_policy(path.stem) for path in sorted((ROOT / "policies").glob("*.yaml")))

    assert {policy.provider: set(policy.match.hosts) for policy in shipped} == listed


def anchors_of(path: Path) -> set[str]:
    """The names that a page gives to its headings."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_every_relative_link_leads_somewhere(page: str) -> None:
    """To a file and, where it names one, to a heading in it; generated pages are taken at their word."""
    path = ROOT / page
    for target in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        if found.is_relative_to(DOCS) and GENERATED.fullmatch(found.relative_to(DOCS).as_posix()):
            continue
        assert found.is_file(), f"{page}: {target}"
        assert not anchor or anchor in anchors_of(found), f"{page}: {target}"


def files_in(nav: Any) -> Iterator[str]:
    """The pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, Mapping) else nav if isinstance(nav, list) else ():
        yield from files_in(entry)


def test_every_page_is_in_the_navigation() -> None:
    """Each record of a decision too."""
    nav = list(files_in(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))

    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}

    assert len(nav) == len(set(nav))
    assert written <= set(nav)
    assert all(name in written or GENERATED.fullmatch(name) or name == "providers/" for name in nav)


@pytest.mark.parametrize(
    ("pattern", "headings"),
    [
        ("design/0*.md", ["Status", "Context", "Decision", "Consequences"]),
        (
            "layers/*.md",
            ["What it does", "Defaults", "In the policy file", "What the trail says", "Diagram", "Do and don't"],
        ),
    ],
)
def test_pages_of_one_kind_have_one_form(pattern: str, headings: list[str]) -> None:
    """A reader of one finds the way in all."""
    pages = sorted(DOCS.glob(pattern))

    assert pages
    for page in pages:
        assert headings == re.findall(r"^## (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE), page
