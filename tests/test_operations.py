"""Which operation a request belongs to: by method and path, the most literal template first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from resilience._operations import Operation, Operations


def finder(**operations: Any) -> Operations:
    return Operations({name: Operation.model_validate(keys) for name, keys in operations.items()})


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/jobs", "jobs"),
        ("POST", "/v1/jobs", "jobs"),
        ("GET", "/v1/jobs/", "job"),
        ("GET", "/v1/jobs/7", "job"),
        ("GET", "/v1/jobs/latest", "latest"),
        ("DELETE", "/v1/jobs/latest", None),
        ("DELETE", "/v1/jobs/7", None),
        ("GET", "/v1/jobs/7/log", "part"),
        ("GET", "/v1/files/a/b/c", "files"),
        ("GET", "/v1/files/", "files"),
        ("GET", "/v1/files", "rest"),
        ("GET", "/v1/other/a/b", "part"),
        ("GET", "/v1/other/a/b/c", "rest"),
        ("GET", "/v2/jobs", None),
        ("GET", "v1/jobs", None),
        ("GET", "", None),
        ("get", "/v1/jobs/7", None),
    ],
)
def test_a_request_belongs_to_the_most_literal_template(method: str, path: str, expected: str | None) -> None:
    """An exact path first, then more literal parts; the case of methods and paths counts."""
    found = finder(
        rest={"path": "/v1/{path...}", "method": "GET"},
        part={"path": "/v1/{kind}/{id}/{part}", "method": ["GET", "PUT"]},
        job={"path": "/v1/jobs/{id}", "method": "GET"},
        latest={"path": "/v1/jobs/latest", "method": "GET"},
        jobs={"path": "/v1/jobs"},
        files={"path": "/v1/files/{path...}"},
    )

    assert expected == found.find(method, path)


def test_an_operation_may_have_several_paths() -> None:
    """Whichever is called."""
    found = finder(search={"path": ["/search", "/v2/{lang}/search"]})

    assert ["search", "search", None] == [
        found.find("GET", path) for path in ("/search", "/v2/de/search", "/v2/search")
    ]


def test_among_equals_the_file_decides() -> None:
    """For exact paths and for templates, as far as the method allows."""
    exact = finder(a={"path": "/x", "method": "POST"}, b={"path": "/x"}, c={"path": "/x"})
    templates = finder(a={"path": "/{x}", "method": "POST"}, b={"path": "/{y}"}, c={"path": "/{z}"})

    assert ["a", "b"] == [exact.find(method, "/x") for method in ("POST", "GET")]
    assert ["a", "b"] == [templates.find(method, "/x") for method in ("POST", "GET")]


def test_no_operation_is_no_operation() -> None:
    """A policy may have none."""
    assert finder().find("GET", "/") is None


SEGMENT = st.sampled_from(["a", "b", "", "{x}", "{y}"])
TEMPLATE = st.tuples(st.lists(SEGMENT, min_size=1, max_size=4), st.booleans()).map(
    lambda drawn: "/" + "/".join([*drawn[0], "{rest...}"] if drawn[1] else drawn[0])
)
METHODS = st.none() | st.lists(st.sampled_from(["GET", "POST"]), min_size=1, max_size=2)


def naive(operations: dict[str, Operation], method: str, path: str) -> str | None:
    """Every template of every operation, one after the other, and then the best of what fits."""
    segments = path.split("/")
    best: tuple[tuple[int, bool, int], str] | None = None
    for name, operation in operations.items():
        for template in operation.path:
            parts = template.split("/")
            rest = parts[-1].endswith("...}")
            fixed = parts[:-1] if rest else parts
            fits = len(segments) > len(fixed) if rest else len(segments) == len(fixed)
            for part, segment in zip(fixed, segments, strict=False):
                fits = fits and (part.startswith("{") or part == segment)
            if not fits or (operation.method is not None and method not in operation.method):
                continue
            literal = [part for part in parts if not part.startswith("{")]
            rank = (len(literal), not rest, len(parts))
            if best is None or rank > best[0]:
                best = rank, name
    return None if best is None else best[1]


@settings(max_examples=600)
@given(
    drawn=st.lists(st.tuples(st.lists(TEMPLATE, min_size=1, max_size=2), METHODS), max_size=6),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=st.lists(st.sampled_from(["a", "b", "c", "", "{x}"]), max_size=5).map(lambda parts: "/" + "/".join(parts)),
)
def test_the_quick_search_finds_what_a_naive_one_finds(drawn: Any, method: str, path: str) -> None:
    """Whatever templates there are."""
    operations = {
        f"o{index}": Operation.model_validate({"path": paths, "method": methods})
        for index, (paths, methods) in enumerate(drawn)
    }

    assert naive(operations, method, path) == Operations(operations).find(method, path)


@given(method=st.text(max_size=10), path=st.text(max_size=50))
def test_no_path_breaks_the_search(method: str, path: str) -> None:
    """It comes from the application, and may be anything."""
    found = finder(a={"path": "/{x}/b"}, b={"path": "/c/{x...}"}, c={"path": "/"})

    assert found.find(method, path) in {None, "a", "b", "c"}


@pytest.mark.parametrize(
    "path", ["/", "/v1/jobs/{id}", "/v1//jobs", "/v1/jobs/", "/{größe}", "/a/{rest...}", "/a:b", "/a.b@c"]
)
def test_these_are_path_templates(path: str) -> None:
    """A leading slash, and names in braces."""
    assert (path,) == Operation(path=(path,)).path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "is no path template; write /v1/jobs/{id}: a leading slash"),
        ("v1", "is no path template"),
        ("/a?b=c", "is no path template"),
        ("/a#b", "is no path template"),
        ("/a b", "is no path template"),
        ("/{}", "is no path template"),
        ("/{...}", "is no path template"),
        ("/{a-b}", "is no path template"),
        ("/{a", "is no path template"),
        ("/a}", "is no path template"),
        ("/x{a}", "is no path template"),
        ("https://p.test/a", "is no path template"),
        ("/{a...}/b", "only the last part of a path template may end in '...'"),
    ],
)
def test_what_is_no_template_is_refused(path: str, message: str) -> None:
    """It would never match, or match something else than it seems to."""
    with pytest.raises(ValidationError) as caught:
        Operation.model_validate({"path": path})

    assert message in str(caught.value)


def test_an_attempt_must_be_shorter_than_its_call() -> None:
    """Or no second attempt would fit."""
    with pytest.raises(ValidationError, match="'attempt_timeout' is not shorter than 'deadline'"):
        Operation.model_validate({"path": "/", "deadline": "10s", "attempt_timeout": "10s"})

    assert 9.0 == Operation.model_validate({"path": "/", "deadline": "10s", "attempt_timeout": "9s"}).attempt_timeout
