"""`resilience config show`: every value that applies here, and where it comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resilience._finding import near
from resilience._modes import LAYERS

from ._files import shown_path
from ._options import ConfigFile, Json
from ._output import fail, say, say_json, say_table, table, visible

if TYPE_CHECKING:
    from resilience._origins import Configured, Origin, Setting

__all__ = ["EXAMPLE", "show"]

EXAMPLE = """\
resilience config show
resilience config show --provider anakin --changed
RESILIENCE_MODE=observe resilience config show --json
"""


def show(
    *,
    config: ConfigFile = None,
    provider: Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Of this provider alone.")] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what a file or a variable says.")] = False,
    json: Json = False,
) -> None:
    """Show every value of the configuration, as it applies in this directory and environment, with its origin.

    Passwords are hidden. Exit code: 0, or 2 if the configuration cannot be honoured.
    """
    from resilience._config_model import Config
    from resilience._config_read import Read, read
    from resilience._document import Document
    from resilience._environment import variables
    from resilience._origins import configured
    from resilience.errors import Place

    found = read(config)
    if found is None:
        found = Read(Config(version=1), Path(), Document({}, {(): Place("", 1, 1)}, {}))
    applied = _asked(configured(found), provider, changed=changed)
    path = None if found.path is None else str(found.path)
    used = sorted(variables(os.environ))
    if json:
        say_json({"file": path, "variables": used, **_data(applied)})
    else:
        say(f"file: {visible(path)}" if path else "no file: no resilience.yaml here, and RESILIENCE_CONFIG names none")
        if used:
            say(f"environment: {', '.join(map(visible, used))}")
        _show(applied)


def _asked(applied: Configured, provider: str | None, *, changed: bool) -> Configured:
    """What was asked for of all that applies."""
    settings, providers = applied
    if provider is not None:
        if provider not in providers:
            fail(f"there is no provider {provider!r} here; {near(provider, sorted(providers))}")
        settings, providers = [], {provider: providers[provider]}
    if changed:
        # What is said for all providers at one place is told once, unless one of them is asked for.
        told = {str(each.origin) for each in settings}
        settings = [each for each in settings if _is_said(each)]
        providers = {
            name: [each for each in found if _is_said(each) and str(each.origin) not in told]
            for name, found in providers.items()
        }
    return applied._replace(settings=settings, providers=providers)


def _is_said(setting: Setting) -> bool:
    return setting.origin.kind in {"file", "environment"}


def _data(applied: Configured) -> dict[str, Any]:
    return {
        "settings": _settings(applied.settings),
        "providers": {name: _settings(settings) for name, settings in applied.providers.items()},
    }


def _settings(settings: list[Setting]) -> dict[str, Any]:
    return {key: {"value": value, "origin": _origin(origin)} for key, value, origin in settings}


def _origin(origin: Origin) -> dict[str, Any]:
    place = origin.place
    if place is None:
        return {"kind": origin.kind}
    if not place.line:
        return {"kind": origin.kind, "variable": place.file}
    return {"kind": origin.kind, "file": place.file, "line": place.line, "column": place.column}


def _show(applied: Configured) -> None:
    listed = table("", "value", "from")
    for settings, name in [(applied.settings, ""), *((each, name) for name, each in applied.providers.items())]:
        for key, value, origin in _in_short(settings):
            listed.add_row(visible(f"{name}.{key}" if name else key), _words(value), visible(_shown(origin)))
    say_table(listed)


def _in_short(settings: list[Setting]) -> list[Setting]:
    """Modes in one line where all layers have the same from the same place."""
    modes = [each for each in settings if each.key.startswith("mode.")]
    if len(modes) < len(LAYERS) or len({(str(each.value), str(each.origin)) for each in modes}) > 1:
        return settings
    one = modes[0]._replace(key="mode")
    return [one if each is modes[0] else each for each in settings if each is modes[0] or each not in modes]


def _words(value: object) -> str:
    if isinstance(value, list):
        return visible(", ".join(map(str, value))) or "none"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    text = str(value)
    return visible(_file(text) if os.path.isabs(text) else text)  # noqa: PTH117  as a text


def _file(path: str) -> str:
    """A file as short as it can be found: of those that are shipped, the name."""
    from resilience._shipped import shipped_directory

    file = Path(path)
    return file.name if file.parent == shipped_directory() else str(shown_path(file))


def _shown(origin: Origin) -> str:
    if origin.place is None or not origin.place.line:
        return str(origin)
    place = origin.place
    return str(origin).replace(place.file, _file(place.file), 1)
