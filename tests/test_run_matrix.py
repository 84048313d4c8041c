"""`resilience run` over the ways in which Python programs start: each is a real process, counted at a real provider.

The program knows nothing of this library; the provider is busy at first. So the program must see 200, and the provider
two requests for each call.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launched import CHECKOUT, SECONDS, Place, busy_provider, script

CALL = """
import os
import httpx2 as httpx

print(httpx.get(os.environ["PROVIDER"]).status_code)
"""
ASGI = """
import json, os
import httpx2 as httpx

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    status = 0
    if scope["path"] == "/":
        async with httpx.AsyncClient() as client:
            status = (await client.get(os.environ["PROVIDER"])).status_code
    body = json.dumps({"status": status, "pid": os.getpid()}).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
WSGI = """
import json, os
import httpx2 as httpx

# Made before any worker is forked, where the application is loaded first.
client = httpx.Client()

def app(environ, start_response):
    status = client.get(os.environ["PROVIDER"]).status_code if environ["PATH_INFO"] == "/" else 0
    body = json.dumps({"status": status, "pid": os.getpid()}).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A directory for programs, and a provider that is busy each first time."""
    with busy_provider() as provider:
        yield Place(tmp_path, provider)


def test_without_the_launcher_the_program_sees_what_the_provider_sends(place: Place) -> None:
    """What all others are measured against."""
    place.write("app.py", CALL)

    done = place.run(sys.executable, "app.py")

    assert ("429\n", 1) == (done.stdout, len(place.provider.requests))


@pytest.mark.parametrize("form", ["script", "module", "text", "input", "zip"])
def test_what_python_runs(form: str, place: Place) -> None:
    """A file, also where Python does not look beside it, a module, a text, standard input, an archive."""
    path = place.write("app.py", CALL)
    place.write("whole/__main__.py", CALL)
    shutil.make_archive(str(place.directory / "archive"), "zip", place.directory / "whole")
    commands: dict[str, list[object]] = {
        "script": ["-P", "-s", "-B", "app.py"],
        "module": ["-m", "whole"],
        "text": ["-c", CALL],
        "input": ["-"],
        "zip": ["archive.zip"],
    }

    with path.open() as source:
        done = subprocess.run(
            place.launched(sys.executable, *commands[form]), cwd=place.directory, env=place.environment, stdin=source,
            capture_output=True, encoding="utf-8", timeout=SECONDS, check=False,
        )  # fmt: skip

    assert ("200\n", "", 2) == (done.stdout, done.stderr, len(place.provider.requests))


@pytest.mark.parametrize("first", ["{python}", "/usr/bin/env -S {python} -u"], ids=["path", "env"])
def test_a_console_script(first: str, place: Place) -> None:
    """A file with a first line that names its Python, as installers write it."""
    command = place.write("tool", f"#!{first.format(python=sys.executable)}\n{CALL}")
    command.chmod(0o755)

    done = place.launch("./tool")

    assert ("200\n", "", 2) == (done.stdout, done.stderr, len(place.provider.requests))


@pytest.mark.parametrize("form", ["command", "module"])
def test_pytest(form: str, place: Place) -> None:
    """The tests of an application, however pytest is started."""
    place.write(
        "test_app.py",
        "import os, httpx2 as httpx\n\ndef test(): assert 200 == httpx.get(os.environ['PROVIDER']).status_code",
    )
    start = [script("pytest")] if form == "command" else [sys.executable, "-m", "pytest"]

    # Plugins that happen to be installed take seconds.
    variables = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = place.launch(*start, "-q", "-p", "no:cacheprovider", "test_app.py", variables=variables)

    assert (0, 2) == (done.returncode, len(place.provider.requests)), done.stdout


def test_uvicorn(place: Place) -> None:
    """By its command."""
    place.write("shop.py", ASGI)

    with place.serving(script("uvicorn"), "shop:app", "--port", "PORT") as server:
        status, _ = server.get()

    assert (200, 2) == (status, len(place.provider.requests))


def test_uvicorn_with_workers(place: Place) -> None:
    """Each of them is a process of its own, spawned."""
    place.write("shop.py", ASGI)

    with place.serving(script("uvicorn"), "shop:app", "--port", "PORT", "--workers", "2") as server:
        found = server.get_from(2)

    statuses = [status for each in found.values() for status in each]
    assert {200} == set(statuses)
    assert 2 * len(statuses) == len(place.provider.requests)


def test_uvicorn_that_reloads(place: Place) -> None:
    """Also the process that it starts after a change."""
    place.write("shop.py", ASGI)

    with place.serving(script("uvicorn"), "shop:app", "--port", "PORT", "--reload") as server:
        first, pid = server.get()
        place.write("shop.py", ASGI + "\n# changed\n")
        found = server.get_from(1, known={pid})

    statuses = [first, *(status for each in found.values() for status in each)]
    assert {200} == set(statuses)
    assert 2 * len(statuses) == len(place.provider.requests)


@pytest.mark.parametrize(
    ("worker", "preload"),
    [("sync", False), ("sync", True), ("gthread", True), ("gevent", False), ("uvicorn_worker.UvicornWorker", False)],
)
def test_gunicorn(worker: str, preload: bool, place: Place) -> None:
    """Its workers are forked, before or after the application has made its client."""
    place.write("shop.py", ASGI if "uvicorn" in worker else WSGI)
    options = ["--worker-class", worker, "--workers", "2", *(["--preload"] if preload else [])]

    with place.serving(script("gunicorn"), "shop:app", "--bind", "127.0.0.1:PORT", *options) as server:
        found = server.get_from(2)

    statuses = [status for each in found.values() for status in each]
    assert {200} == set(statuses)
    assert 2 * len(statuses) == len(place.provider.requests)


TASKS = """
import os
from celery import Celery
import httpx2 as httpx

app = Celery("tasks", broker="filesystem://", backend="file://" + os.path.abspath("results"))
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control", "polling_interval": 0.05
}
client = httpx.Client()

@app.task
def call():
    return client.get(os.environ["PROVIDER"]).status_code
"""


def test_celery(place: Place) -> None:
    """A task in a worker that was forked, by the command and its default pool."""
    place.write("tasks.py", TASKS)
    for name in ("queue", "control", "results"):
        (place.directory / name).mkdir()
    ask = "import tasks; print(tasks.call.delay().get(timeout=50, interval=0.05))"

    worker = [script("celery"), "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "1", "--without-gossip"]
    with place.started(place.launched(*worker, "--without-mingle", "--loglevel", "INFO")):
        # Without the launcher: what asks for the task does not call the provider.
        done = place.run(sys.executable, "-c", ask)

    log = (place.directory / "log").read_text()
    assert ("200\n", 2) == (done.stdout, len(place.provider.requests)), done.stderr + log


POOLS = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
import httpx2 as httpx

def call(answers=None):
    status = httpx.get(os.environ["PROVIDER"]).status_code
    if answers is not None:
        answers.put(status)
    return status

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    if sys.argv[1] == "process":
        answers = context.Queue()
        process = context.Process(target=call, args=(answers,))
        process.start()
        print(answers.get(timeout=50))
        process.join()
    else:
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            print(pool.submit(call).result(50))
"""


@pytest.mark.parametrize(
    ("form", "method"), [("process", "fork"), ("process", "spawn"), ("process", "forkserver"), ("pool", "spawn")]
)
def test_multiprocessing(form: str, method: str, place: Place) -> None:
    """Each start method, by itself and under `concurrent.futures`."""
    place.write("app.py", POOLS)

    done = place.launch(sys.executable, "app.py", form, method)

    assert ("200\n", 2) == (done.stdout, len(place.provider.requests)), done.stderr


PARENT = """
import os, subprocess, sys
variables = dict(os.environ)
variables.update(word.split("=") for word in sys.argv[1:])
subprocess.run([sys.executable, "app.py"], env=variables, check=True)
"""


@pytest.mark.parametrize(
    ("variables", "expected"), [([], "200"), (["RESILIENCE_AUTO=0"], "429")], ids=["", "opted out"]
)
def test_programs_that_it_starts(variables: list[str], expected: str, place: Place) -> None:
    """They obey too, unless the program says by a variable that this one should not."""
    place.write("app.py", CALL)
    place.write("parent.py", PARENT)

    done = place.launch(sys.executable, "parent.py", *variables)

    assert (f"{expected}\n", "") == (done.stdout, done.stderr)
    assert (2 if expected == "200" else 1) == len(place.provider.requests)


def test_a_variable_switches_it_off_and_it_says_so(place: Place) -> None:
    """So a deployment is taken back by its environment alone, also where the configuration is what is wrong."""
    place.write("app.py", CALL)
    place.write("resilience.yaml", "version: 99\n")

    done = place.launch(sys.executable, "app.py", variables={"RESILIENCE_AUTO": "0"})

    said = "resilience: RESILIENCE_AUTO is 0, so no policy is obeyed; unset it to have this program obey\n"
    assert ("429\n", said, 1) == (done.stdout, done.stderr, len(place.provider.requests))


def test_a_shell_script_between(place: Place) -> None:
    """What stands between need not be a Python."""
    place.write("app.py", CALL)
    start = place.write("start.sh", f"#!/bin/sh\nset -e\ncd /\n{sys.executable} '{place.directory}/app.py' | cat\n")
    start.chmod(0o755)

    done = place.launch("./start.sh")

    assert ("200\n", "", 2) == (done.stdout, done.stderr, len(place.provider.requests))


def test_a_notebook(place: Place) -> None:
    """The kernel is a process that Jupyter starts."""
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": CALL}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": [cell]}
    path = place.write("book.ipynb", json.dumps(book))
    folders = {f"JUPYTER_{name}_DIR": str(place.directory / name) for name in ("CONFIG", "RUNTIME")}
    folders |= {"IPYTHONDIR": str(place.directory / "ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}

    done = place.launch(script("jupyter-execute"), "--inplace", path, variables=folders)

    assert 0 == done.returncode, done.stderr
    (executed,) = json.loads(path.read_text("utf-8"))["cells"]
    assert (["200\n"], 2) == ([each["text"] for each in map(joined, executed["outputs"])], len(place.provider.requests))


def joined(output: dict[str, object]) -> dict[str, object]:
    """An output of a cell, its lines as one text."""
    text = output.get("text", "")
    return {**output, "text": "".join(text) if isinstance(text, list) else text}


OWN = """
import sys
sys.stderr.write("own\\n")
"""


@pytest.mark.parametrize("child", [False, True], ids=["program", "child"])
def test_a_sitecustomize_of_ones_own(child: bool, place: Place) -> None:
    """It runs once in each process, and so does ours."""
    place.write("app.py", CALL)
    place.write("parent.py", PARENT)
    place.write("own/sitecustomize.py", OWN)
    path = os.pathsep.join([str(CHECKOUT), str(place.directory / "own")])

    done = place.launch(sys.executable, "parent.py" if child else "app.py", variables={"PYTHONPATH": path})

    # The command itself is a Python too.
    assert ("200\n", "own\n" * (3 if child else 2), 2) == (done.stdout, done.stderr, len(place.provider.requests))
