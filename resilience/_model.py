"""The base of every model of the policy language: frozen, and an unknown key is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Model"]


class Model(BaseModel):
    """Plain data from a file: frozen, without defaults that depend on the machine."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # The schema and the reference pages are made from these docstrings: one text, no copies.
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )
