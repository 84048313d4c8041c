"""This library as a contender: policies as they are shipped, and the answers that their providers give."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks._worlds import Answer, World, loaded

__all__ = ["ELSEWHERE", "OURS", "TOO_MANY", "WRAPPED", "ours_call", "ours_transport"]

ELSEWHERE = "a host without a policy"
WRAPPED = ", by wrap()"
"""Ends the names of rows whose client was given to `wrap`."""

OURS = {
    "openai": (
        "https://api.openai.com/v1/responses/resp_67ccd2bed1ec8190b14f964abc054267",
        Answer(
            body=b'{"id": "resp_67ccd2bed1ec8190", "object": "response", "status": "completed", "usage": {"total_tokens": 36}}'
        ),
    ),
    "omniscrape": (
        "https://api.omniscrape.io/v1/jobs/8d3c7e0a-5b1f-4a53-9d0e-2f6f1f0c9a77",
        Answer(
            body=b'{"success": true, "data": {"job_id": "8d3c7e0a-5b1f-4a53-9d0e-2f6f1f0c9a77", "status": "pending"}}'
        ),
    ),
    ELSEWHERE: (
        "https://api.elsewhere.test/v1/things/thing_67ccd2bed1ec8190b14f964",
        Answer(body=b'{"id": "thing_67ccd2bed1ec8190", "object": "thing", "status": "completed"}'),
    ),
}
"""By the name of the row: what is called, and what it answers."""

TOO_MANY = Answer(
    429, b'{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}',
    (("retry-after", "0"),),
)  # fmt: skip


def ours_call(
    world: World,
    name: str,
    *answers: Answer,
    policy: Mapping[str, Any] | None = None,
    is_wrapped: bool = False,
    is_new: bool = False,
) -> Any:
    """A function that calls once through all layers.

    Arguments:
        world: in which it calls.
        name: a row of `OURS`.
        answers: what is answered in turn; by default what `OURS` says.
        policy: what differs from the shipped policy of that name.
        is_wrapped: the client is an application's own that was given to `wrap`, and has no transport of ours by itself.
        is_new: each call has a URL of its own.
    """
    url, answer = OURS[name]
    inner = world.lean(*(answers or (answer,)))()
    if is_wrapped:
        with _stated(name, policy) as config:
            client = loaded("resilience").wrap(world.client(inner, world.client_kind), config=config)
    else:
        client = world.client(ours_transport(world, name, inner, policy))
    get, numbers = client.get, count()
    return (lambda: get(f"{url}{next(numbers)}")) if is_new else lambda: get(url)


def ours_transport(world: World, name: str, inner: Any, policy: Mapping[str, Any] | None = None, **config: Any) -> Any:
    """Our transport around another.

    Arguments:
        world: whose library it is for.
        name: a row of `OURS`.
        inner: the transport that sends.
        policy: what differs from the shipped policy of that name.
        config: further keys of the configuration.
    """
    with _stated(name, policy) as stated:
        return loaded(f"resilience.{world.library}").Transport(inner, config=stated | config)


@contextmanager
def _stated(name: str, policy: Mapping[str, Any] | None) -> Generator[dict[str, Any]]:
    """A configuration with the shipped policies, or with one that differs from one of them."""
    if policy is None:
        yield {"version": 1}
        return
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / f"{name}.yaml"
        file.write_text(json.dumps({"version": 1, "provider": name, "extends": name, **policy}))
        yield {"version": 1, "policies": [str(file)], "shipped": False, "reload": "off"}
