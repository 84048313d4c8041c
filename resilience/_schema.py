"""The JSON Schema of policy files and of resilience.yaml, for editors: made from the models that read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from ._config_model import Config
from ._model import Model
from ._policy import Policy

if TYPE_CHECKING:
    from pydantic_core import core_schema

__all__ = ["config_schema", "policy_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "#/$defs/"
_CHANGE = "Change"


class _Schema(GenerateJsonSchema):
    """JSON Schema of what a file may hold, rather than of what the models make of it."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        # Where a function comes before a list, one entry may stand for a list of one.
        inner = super().function_before_schema(schema)
        return {"anyOf": [inner["items"], inner]} if "items" in inner else inner

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  as in the base class
        # "Max Attempts" beside the key `max_attempts` says nothing.
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        # Names that do not fit the pattern are wrong, not free.
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made

    def encode_default(self, dft: Any) -> Any:
        # A model is built when it is first needed (`_model`); before that pydantic can write it down from 2.14 on only.
        defaults = cast("tuple[object, ...]", dft) if isinstance(dft, tuple) else (dft,)
        for each in defaults:
            if isinstance(each, Model):
                type(each).model_rebuild()
        return super().encode_default(dft)


def policy_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a policy file."""
    schema = Policy.model_json_schema(schema_generator=_Schema)
    definitions = cast("dict[str, Any]", schema.pop("$defs"))
    definitions["Policy"] = schema
    # A code may be written as a number; it is compared by its digits.
    code = definitions["When"]["properties"]["code"]
    code["anyOf"] = [{"type": "integer"}, {"type": "array", "items": {"type": ["string", "integer"]}}, *code["anyOf"]]
    # A place in an answer may be written as the path of a field.
    definitions["Place"] = {"anyOf": [{"type": "string"}, definitions["Place"]]}
    change = _change({"$ref": f"{_REFERENCE}Policy"}, definitions)
    return {
        "$schema": _DIALECT,
        "title": "A policy file of httpx-resilience",
        # A file that extends another says only what differs, and takes keys away by setting them to null.
        "if": {"required": ["extends"]},
        "then": change,
        "else": {"$ref": f"{_REFERENCE}Policy"},
        "$defs": dict(sorted(definitions.items())),
    }


def config_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `resilience.yaml`."""
    schema = Config.model_json_schema(schema_generator=_Schema)
    return {"$schema": _DIALECT, **schema, "title": "A configuration file of httpx-resilience"}


def _change(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of what a file that extends another may say there: nothing is required, and mappings merge."""
    name = str(schema.get("$ref", "")).removeprefix(_REFERENCE)
    if name:
        if f"{name}{_CHANGE}" not in definitions and "properties" in definitions[name]:
            # Entered before it is complete: a model may contain itself.
            definitions[f"{name}{_CHANGE}"] = change = json.loads(json.dumps(definitions[name]))
            change.pop("required", None)
            change["properties"] = {
                key: _or_null(_change(part, definitions)) for key, part in change["properties"].items()
            }
        return {**schema, "$ref": f"{_REFERENCE}{name}{_CHANGE}"} if "properties" in definitions[name] else schema
    changed = dict(schema)
    if "anyOf" in schema:
        changed["anyOf"] = [_change(part, definitions) for part in schema["anyOf"]]
    for key in ("additionalProperties", "patternProperties"):
        part = schema.get(key)
        if key == "patternProperties" and part is not None:
            changed[key] = {name: _or_null(_change(below, definitions)) for name, below in part.items()}
        elif isinstance(part, dict):
            changed[key] = _or_null(_change(cast("dict[str, Any]", part), definitions))
    return changed


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}
