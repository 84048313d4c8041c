"""Writes the reference of the policy file and of the configuration file from the models that read them.

One section per model: a table of its keys with type, default and meaning. Types are worded from the source of the
annotations, because there the names still stand that people know (`Duration`), with the docstrings below them.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import mkdocs_gen_files
import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from resilience._config_model import Config
from resilience._field_docs import field_docs
from resilience._policy import Policy

ROOTS: dict[str, tuple[str, type[BaseModel]]] = {
    "reference/policy-file.md": ("Policy file", Policy),
    "reference/configuration-file.md": ("Configuration file", Config),
}
PACKAGE = "resilience"
WORDS = {
    "Any": "any value",
    "BudgetLimit": "text",
    "Decimal": "number",
    "JsonValue": "any value",
    "Scalar": "plain value (text, number, true, false or null)",
    "Rate": "text",
    "StrictBool": "true or false",
    "StrictFloat": "number",
    "StrictInt": "whole number",
    "StrictStr": "text",
    "bool": "true or false",
    "date": "date",
    "datetime": "point in time",
    "float": "number",
    "int": "whole number",
    "object": "any value",
    "str": "text",
}
LISTS = {"Iterable", "Sequence", "frozenset", "list", "set", "tuple"}
MAPPINGS = {"Mapping", "dict"}
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True)
class Alias:
    """A name for a type: what it stands for, and the docstring below it."""

    module: str
    value: ast.expr
    docstring: str


@dataclass
class Page:
    """One page: the models and the kinds of values that it has come across, in the order of their mention."""

    models: list[type[BaseModel]]
    users: dict[type[BaseModel], list[str]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def words(self, node: ast.expr, module: str, user: str) -> str:
        """An annotation in words; what it mentions gets a section of its own."""
        match node:
            case ast.Constant(value=str(text)):
                return self.words(ast.parse(text, mode="eval").body, module, user)
            case ast.Constant(value=None):
                return "null"
            case ast.Name(id=name):
                return self._name(name, module, user)
            case ast.Attribute(attr=name):
                return WORDS[name]
            case ast.BinOp(left=left, right=right):
                said = f"{self.words(left, module, user)} or {self.words(right, module, user)}"
                return said.replace("whole number or number", "number")
            case ast.Subscript(value=ast.Name(id=name), slice=inner):
                arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                return self._generic(name, arguments, module, user)
            case _:
                raise TypeError(f"{module}: no words for the annotation {ast.unparse(node)}; add them in {__file__}")

    def _generic(self, name: str, arguments: list[ast.expr], module: str, user: str) -> str:
        if name == "Literal":
            *most, last = (f"`{_plain(ast.literal_eval(argument))}`" for argument in arguments)
            return f"{', '.join(most)} or {last}" if most else last
        if name == "Annotated":
            return self.words(arguments[0], module, user) + _bounds(arguments[1:])
        said = [self.words(item, module, user) for item in arguments if not _is_ellipsis(item)]
        if name in MAPPINGS:
            return f"mapping of {said[0]} to {said[1]}"
        if name in LISTS and len(said) == len(arguments) > 1:
            return f"list of exactly {len(said)}: {', then '.join(dict.fromkeys(said))}"
        if name in LISTS:
            return f"list of {said[0]}"
        raise TypeError(f"{module}: no words for {name}[...]; add them in {__file__}")

    def _name(self, name: str, module: str, user: str) -> str:
        if name in WORDS:
            return WORDS[name]
        found = _find(name, module)
        if isinstance(found, Alias):
            if not found.docstring:
                return self.words(found.value, found.module, user)
            title = _title(name)
            link = f"[{title.lower()}](#{_anchor(title)})"
            if title not in self.kinds:
                self.kinds[title] = found.docstring
                said = self.words(found.value, found.module, link)
                # What a kind of value is made of matters where that has a section of its own.
                self.kinds[title] += f" Stands for: {said}." if "](#" in said else ""
            return link
        if issubclass(found, BaseModel):
            if found not in self.models:
                self.models.append(found)
            self.users.setdefault(found, []).append(user)
            return f"[{_title(name).lower()}](#{_anchor(_title(name))})"
        if issubclass(found, enum.Enum):
            title = _title(name)
            self.kinds.setdefault(
                title, f"{_text(inspect.getdoc(found))} One of {_listed(item.value for item in found)}."
            )
            return f"[{title.lower()}](#{_anchor(title)})"
        raise TypeError(f"{module}: no words for {name}; add them in {__file__}")


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _bounds(metadata: list[ast.expr]) -> str:
    said = [
        f"{BOUNDS[keyword.arg]} {ast.unparse(keyword.value)}"
        for call in metadata
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg in BOUNDS
    ]
    return f" ({', '.join(said)})" if said else ""


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def _find(name: str, module: str) -> Alias | type:
    """What a name means in a module of the package: an alias, or a class."""
    statements = _tree(module).body
    for index, statement in enumerate(statements):
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in statement.targets
        ):
            following = statements[index + 1] if index + 1 < len(statements) else None
            match following:
                case ast.Expr(value=ast.Constant(value=str(docstring))):
                    return Alias(module, statement.value, _text(docstring))
                case _:
                    return Alias(module, statement.value, "")
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            for imported in node.names:
                if (imported.asname or imported.name) == name:
                    return _find(imported.name, f"{PACKAGE}.{node.module}")
    found = getattr(importlib.import_module(module), name)
    if not isinstance(found, type):
        raise TypeError(f"{module}: {name} is neither a class nor an alias; add words for it in {__file__}")
    return found


def _annotation(model: type[BaseModel], name: str) -> tuple[ast.expr, str]:
    """The source of a field's annotation, and the module in which its names are to be looked up."""
    for base in model.__mro__:
        for statement in ast.walk(_tree(base.__module__)) if base.__module__.startswith(PACKAGE) else ():
            if isinstance(statement, ast.ClassDef) and statement.name == base.__name__:
                for line in statement.body:
                    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == name:
                        return line.annotation, base.__module__
    raise TypeError(f"{model.__name__}.{name} has no annotation in the source")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return ""
    if isinstance(value, BaseModel) and not value.model_fields_set:
        return "its defaults"
    adapter: TypeAdapter[object] = TypeAdapter(info.rebuild_annotation())
    return f"`{_plain(adapter.dump_python(value, mode='json', by_alias=True, exclude_unset=True))}`"


def _plain(value: object) -> str:
    """A value as one would write it in the file."""
    written = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return written.removesuffix("\n").removesuffix("\n...").strip()


def _text(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


def _title(name: str) -> str:
    """`ExpectedVerdict` as `Expected verdict`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip("_")).capitalize()


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _listed(values: object) -> str:
    return ", ".join(f"`{value}`" for value in values)  # type: ignore[attr-defined]


def _cell(text: str) -> str:
    """Text for a cell of a table: a bar inside code is no border."""
    parts = text.split("`")
    parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
    return "`".join(parts)


def _section(page: Page, model: type[BaseModel]) -> list[str]:
    lines = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
    user = _title(model.__name__)
    for name, info in model.model_fields.items():
        key = info.alias or name
        annotation, module = _annotation(model, name)
        match annotation:
            case ast.BinOp(left=left, right=ast.Constant(value=None)) if (
                not info.is_required() and info.default is None
            ):
                annotation = left  # None is how the models say that a key was left out
        said = page.words(annotation, module, f"`{key}` of [{user.lower()}](#{_anchor(user)})")
        described = field_docs(model).get(name)
        if not described:
            raise TypeError(f"{model.__module__}.{model.__name__}.{name} has no docstring below it")
        cells = (f"`{key}`", said, _default(info), _text(described))
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return lines


def render(title: str, root: type[BaseModel]) -> str:
    """The page of a file's model and all models below it, as Markdown."""
    page = Page([root])
    # The list of models grows while it is walked: each section may mention new ones.
    sections = [(model, _section(page, model)) for model in page.models]
    lines = [
        f"# {title}",
        "",
        "A key that is not listed is an error. Only what is marked as required must be there.",
        "",
    ]
    for model, table in sections:
        users = list(dict.fromkeys(page.users.get(model, [])))
        lines += [f"## {_title(model.__name__)}", "", _text(inspect.getdoc(model)), ""]
        lines += [f"Found under {', '.join(users)}.", ""] if users else []
        lines += [*table, ""]
    lines += ["## Kinds of values", ""]
    for kind, meaning in sorted(page.kinds.items()):
        lines += [f"### {kind}", "", meaning, ""]
    return "\n".join(lines)


for path, (heading, top) in ROOTS.items():
    with mkdocs_gen_files.open(path, "w") as file:
        file.write(render(heading, top))
    mkdocs_gen_files.set_edit_path(path, Path("_generate") / Path(__file__).name)
