"""`resilience fake-provider`: a provider's documented answers over HTTP, on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from resilience.testing import serve

from ._output import fail, say, say_json, visible

__all__ = ["EXAMPLE", "fake_provider"]

EXAMPLE = "resilience fake-provider anakin --script '429 retry-after 2, 503 *2, 200' --port 8080"

# A device or a pipe may have no end.
_MOST = 1_000_000


def fake_provider(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped policy, or the path of a policy file.")],
    *,
    script: Annotated[
        str, typer.Option(metavar="TEXT|@FILE", help="One step for each request: '429 retry-after 1, drop, 200'.")
    ] = "",
    rates: Annotated[str, typer.Option(metavar="TEXT", help="Steps by chance: '429=10%, drop=1%'.")] = "",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Where chance begins: the same number, the same answers.")] = None,
    require_key: Annotated[bool, typer.Option("--require-key", help="Answer 401 to requests without a key.")] = False,
    balance: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="What each account has: then, as documented without credits.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Serve a provider's documented answers until you interrupt it; a line for each request.

    Exit code: 130 after Ctrl+C, 2 if the policy, the script, the rates, the balance or the address cannot be honoured.
    """
    serve(
        name,
        script=_text(script),
        rates=rates,
        host=host,
        port=port,
        seed=seed,
        require_key=require_key,
        balance=balance,
        log=_log_json if json else _log,
    )
    # Only Ctrl+C ends it so: of other signals it dies.
    raise typer.Exit(130)


def _text(script: str) -> str:
    if not script.startswith("@"):
        return script
    try:
        with Path(script[1:]).open(encoding="utf-8") as file:
            text = file.read(_MOST + 1)
    except (OSError, ValueError) as error:
        fail(f"the script {script[1:]} cannot be read: {error}")
    if len(text) > _MOST:
        fail(f"the script {script[1:]} is longer than a million characters; `*3` and `...` repeat a step")
    return text


def _log(line: str) -> None:
    say(visible(line))
    sys.stdout.flush()


def _log_json(line: str) -> None:
    request, answers, answered = line.partition(" -> ")
    if not answers:
        # The first line: `NAME is faked at URL`.
        say_json({"url": line.rpartition(" ")[2]}, lines=True)
        return
    method, _, target = request.partition(" ")
    status, _, step = answered.partition("(")
    data = {
        "method": method,
        "target": target,
        "status": int(status) if status else None,
        "step": step.removesuffix(")"),
    }
    say_json(data, lines=True)
