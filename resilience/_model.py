"""The base of every model of the policy language: frozen, and an unknown key is an error."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

__all__ = ["Model", "Name"]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""A name in small letters, digits, `-`, `_` and `.`."""


class Model(BaseModel):
    """Plain data from a file: frozen, without defaults that depend on the machine."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # The schema and the reference pages are made from these docstrings: one text, no copies.
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )
