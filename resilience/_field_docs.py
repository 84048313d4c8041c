"""The docstrings below the fields of a model: read from its source when a schema or a page asks for them.

pydantic would read them whenever a program imports the models, which takes longer than all that a first call does with them.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise

__all__ = ["field_docs"]


@cache
def field_docs(model: type) -> dict[str, str]:
    """What stands below each field, by its name; those of the classes it is made from first.

    Arguments:
        model: a class at the top of its module.
    """
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if each.__module__.partition(".")[0] == __package__:
            found |= _docs_by_class(each.__module__).get(each.__qualname__, {})
    return found


@cache
def _docs_by_class(module: str) -> dict[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {part.name: _docs(part.body) for part in tree.body if isinstance(part, ast.ClassDef)}


def _docs(body: list[ast.stmt]) -> dict[str, str]:
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
