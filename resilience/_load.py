"""Loads a policy file with everything that it extends, as a model."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from ._built import built
from ._document import Document, shown
from ._merge import is_mapping, merge
from ._shipped import find_policy, read_file
from ._validate import validate
from .errors import ConfigurationError, Place, PolicyError, Problem

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = ["load", "load_document", "load_policy", "read_policy"]

_LONGEST_CHAIN = 8

ModelType = TypeVar("ModelType", bound=BaseModel)


def load_policy(name_or_path: str | os.PathLike[str]) -> Policy:
    """A policy, with everything that it extends.

    Arguments:
        name_or_path: a shipped policy's name (a text without a slash or a `.yaml` ending), else the path of a file.

    Raises:
        ConfigurationError: there is no such policy, or its file cannot be read.
        PolicyError: the file cannot be honoured; with every problem and its place.
    """
    path = find_policy(name_or_path)
    if (found := built(path)) is not None:
        from ._policy import Policy

        # What the checks look for was looked for when it was built.
        with suppress(ValidationError):
            return Policy.model_validate_json(found.body)
        # Only where the models of a checkout were changed since; their objections are told of the YAML.
    return read_policy(path)[0]


def read_policy(path: str | os.PathLike[str]) -> tuple[Policy, Document]:
    """A policy file, with everything that it extends, and where each part of it stands.

    Raises:
        ConfigurationError: the file cannot be read.
        PolicyError: it cannot be honoured; with every problem and its place.
    """
    # The models take ten times as long to import as this module.
    from ._checks import problems
    from ._policy import Policy

    document = load_document(path)
    policy = validate(Policy, document)
    if found := problems(policy):
        raise PolicyError([Problem(document.place(each.path), each.message, each.remedy) for each in found])
    return policy, document


def load(path: str | os.PathLike[str], model: type[ModelType]) -> ModelType:
    """A file, with everything that it extends, as a model.

    Raises:
        ConfigurationError: the file cannot be read.
        PolicyError: it cannot be honoured; with every problem and its place.
    """
    return validate(model, load_document(path))


def load_document(path: str | os.PathLike[str]) -> Document:
    """A file's data with everything that it extends merged in; `extends` itself is gone.

    Raises:
        ConfigurationError: the file cannot be read.
        PolicyError: it is not YAML as this library reads it, or what it extends cannot be.
    """
    files = [Path(path)]
    chain = [_parsed(files[0])]
    while (extends := _extends(chain[-1])) is not None:
        try:
            parent = find_policy(extends, files[-1].parent)
            _check_chain(files, parent)
            document = _parsed(parent)
        except PolicyError:
            # It has places of its own.
            raise
        except ConfigurationError as error:
            raise _error(chain[-1].place(("extends",)), f"`extends`: {error}", "") from None
        files.append(parent)
        chain.append(document)
        if not is_mapping(chain[-1].data):
            raise _error(chain[-1].place(()), "a file that another one extends must be a mapping", "write keys")
    merged = chain.pop()
    while chain:
        merged = merge(chain.pop(), merged)
    return merged


def _parsed(path: Path) -> Document:
    if (found := built(path)) is not None:
        return found.document()
    # The parser takes longer to import than a shipped policy takes to load.
    from ._yaml import parse

    return parse(read_file(path), str(path))


def _extends(document: Document) -> str | None:
    extends = document.data.get("extends") if is_mapping(document.data) else None
    if extends is None or isinstance(extends, str):
        return extends
    remedy = "write a shipped policy's name or a path from this file"
    raise _error(document.place(("extends",)), f"'extends' must be text, not {shown(extends)}", remedy)


def _check_chain(files: list[Path], parent: Path) -> None:
    seen = [os.path.realpath(file) for file in files]
    if (found := os.path.realpath(parent)) in seen:
        circle = " -> ".join(str(file) for file in [*files[seen.index(found) :], parent])
        raise ConfigurationError(f"the files extend one another in a circle: {circle}; take one `extends` out")
    if len(files) >= _LONGEST_CHAIN:
        raise ConfigurationError(f"more than {_LONGEST_CHAIN} files extend one another; extend one nearer to the root")


def _error(place: Place, message: str, remedy: str) -> PolicyError:
    return PolicyError([Problem(place, message, remedy)])
