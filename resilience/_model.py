"""The base of every model of the policy language: frozen, and an unknown key is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic_core import PydanticKnownError

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["Model", "Name", "Version"]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""A name in small letters, digits, `-`, `_` and `.`."""


def _whole(value: object) -> object:
    # To Python `true` and `1.0` are 1, to a literal as well; the schema that an editor checks with knows them apart.
    if isinstance(value, bool | float):
        raise PydanticKnownError("literal_error", {"expected": "1"})
    return value


Version = Annotated[Literal[1], BeforeValidator(_whole)]
"""The version of the language of a file."""


class Model(BaseModel):
    """Plain data from a file: frozen, without defaults that depend on the machine."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # A policy's validator holds those of its parts; made for each part as well, all would be made several times.
        # For the same reason a default that is a model is made by `model_construct`: calling its class needs a validator.
        defer_build=True,
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        """The schema, with the docstrings below the fields: one text, no copies."""
        from ._field_docs import field_docs

        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docs(cls).items():
            key = cls.model_fields[name].alias or name
            if key in properties:
                properties[key].setdefault("description", text)
        return schema
