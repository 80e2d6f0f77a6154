"""Settings for the eye: the reference page, and what is in force and why."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel, SecretStr
from sqlalchemy.engine import make_url

from penelope.settings.known import SETTINGS, Setting, sections
from penelope.settings.tree import Settings

_INTRODUCTION = """\
Penelope reads `penelope.yaml`, or the file that `--config` names, then the environment, then `--set` on the
command line; what is read later wins. An unknown setting is an error, never ignored. `penelope config check` shows
what is in force and where it comes from.

```yaml
# penelope.yaml
api:
  port: 8420
gate:
  halt_failures: 3
```

The same in the environment is `PENELOPE_API__PORT=8420`, on the command line `--set api.port=8420`. There, numbers,
switches and lists are written as in YAML, and texts as they are. Relative paths are seen from the folder of the file,
wherever they are given; without a file from the working directory."""

_TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "null": "`null`",
    "object": "mapping",
}
_FORMATS = {"path": "path", "password": "secret text"}
_BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "maximum": "≤"}


def reference() -> str:
    """The reference in Markdown: every setting, its variable, its type, its default and its meaning."""
    return "\n\n".join(["# Settings", _INTRODUCTION, *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    for section, model in sections().items():
        yield f"## `{section}`"
        yield inspect.getdoc(model) or ""
        for setting in SETTINGS.values():
            if setting.section == section:
                yield _entry(setting)


def _entry(setting: Setting) -> str:
    meaning = " ".join(setting.schema["description"].split())
    kind = " or ".join(_type(option) for option in setting.options)
    default = _shown(setting.name, setting.default)
    return (
        f"### `{setting.name}`\n\n{meaning}\n\n"
        f"- Type: {kind}\n- Default: `{default}`\n- Environment: `{setting.variable}`"
    )


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}s"
    name = _FORMATS.get(schema.get("format", ""), _TYPES.get(schema["type"], "text"))
    bounds = [f"{sign} {schema[bound]:g}" for bound, sign in _BOUNDS.items() if bound in schema]
    return " ".join([name, " and ".join(bounds)]).strip()


class Described(NamedTuple):
    """A setting in force: its dotted name, its value as text without secrets, and where that comes from."""

    name: str
    value: str
    origin: str


def describe(settings: Settings) -> list[Described]:
    """Every setting in the order of the tree."""
    return [Described(name, _shown(name, _value(settings, name)), settings.origin(name)) for name in SETTINGS]


def _value(settings: Settings, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(settings, section), key)


def _without_passwords(text: str) -> str:
    """A database URL without its password, nor those among what PostgreSQL takes behind the question mark."""
    url = make_url(text)
    hidden = {key: "***" for key in url.query if "password" in key.casefold()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _plain(value: Any) -> Any:
    """What JSON has no word for. Secrets are stars in either case."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _shown(name: str, value: Any) -> str:
    if name.endswith("url") and value is not None:
        return _without_passwords(value)
    if isinstance(value, str | Path | SecretStr):
        return str(value)
    return orjson.dumps(value, default=_plain).decode().removesuffix(".0")
