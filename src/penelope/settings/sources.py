"""The three places that settings come from; each is read to the end, so that all its mistakes are known."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node

from penelope.settings.known import PREFIX, SEPARATOR, SETTINGS, Setting, sections


@dataclass(frozen=True, slots=True)
class Given:
    """A value that a source gives to a setting that exists."""

    name: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """What cannot be used, and where it stands. The text never repeats a value: it may be a secret."""

    origin: str
    text: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}"


Found = Iterator[Given | Mistake]


def _unknown(name: str, candidates: Iterable[str]) -> str:
    return f'unknown setting "{name}"{_guess(_near(name, candidates))}'


def _near(name: str, candidates: Iterable[str]) -> str | None:
    # Below 0.7 a common section alone would make two names alike.
    return next(iter(get_close_matches(name, list(candidates), n=1, cutoff=0.7)), None)


def _guess(name: str | None) -> str:
    return f'; did you mean "{name}"?' if name else ""


# --- the file ---------------------------------------------------------------------------------------------


def from_file(path: Path) -> Found:
    """The settings of a YAML 1.2 file; their origin is ``FILE:LINE:COLUMN``."""
    try:
        text = path.read_text(encoding="utf-8")
        positions = dict(_positions(_yaml().compose(text)))
        tree = _yaml().load(text)
    except OSError as error:
        yield Mistake(str(path), f"cannot be read: {error.strerror}")
    except DuplicateKeyError as error:
        yield Mistake(_place(path, error), "this key stands here for the second time")
    except MarkedYAMLError as error:
        yield Mistake(_place(path, error), f"not YAML: {error.problem}")
    except (YAMLError, ValueError, RecursionError) as error:
        yield Mistake(str(path), f"not YAML in UTF-8: {type(error).__name__}")
    else:
        if not isinstance(tree, dict | None):
            yield Mistake(f"{path}:1:1", "the file should hold sections, such as `api:`")
            return
        for section, values in (tree or {}).items():
            yield from _from_section(path, str(section), values, positions)


def _yaml() -> YAML:
    # Not the C parser: it knows YAML 1.1 only, in which `no` is false.
    return YAML(typ="safe", pure=True)


def _positions(root: Node | None) -> Iterator[tuple[str, str]]:
    """``LINE:COLUMN`` of every key in the first two levels, by dotted name."""
    for section, values in root.value if isinstance(root, MappingNode) else ():
        yield str(section.value), _position(section.start_mark)
        for key, _ in values.value if isinstance(values, MappingNode) else ():
            yield f"{section.value}.{key.value}", _position(key.start_mark)


def _position(mark: Any) -> str:
    return f"{mark.line + 1}:{mark.column + 1}"


def _place(path: Path, error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{path}:{_position(mark)}" if mark else str(path)


def _from_section(path: Path, section: str, values: Any, positions: Mapping[str, str]) -> Found:
    here = f"{path}:{positions.get(section, '1:1')}"
    if section in SETTINGS:
        key = section.partition(".")[2]
        yield Mistake(here, f'write "{section}" as `{key}:` below `{section.removesuffix(key)[:-1]}:`')
    elif not isinstance(values, dict | None) or (section not in sections() and not values):
        known = section in sections()
        yield Mistake(here, f'"{section}" should be a section' if known else _unknown(section, sections()))
    else:
        for key, value in (values or {}).items():
            name = f"{section}.{key}"
            origin = f"{path}:{positions.get(name, positions.get(section, '1:1'))}"
            yield (
                Given(name, value, origin) if name in SETTINGS else Mistake(origin, _unknown(name, SETTINGS))
            )


# --- the environment and the command line -----------------------------------------------------------------


def from_environment(environment: Mapping[str, str]) -> Found:
    """The settings in variables such as ``PENELOPE_API__PORT``.

    A variable with the prefix but without the double underscore belongs to something else, such as the
    command line client, unless it is a setting's name with one underscore missing.
    """
    known = {setting.variable: setting for setting in SETTINGS.values()}
    slips = {variable.replace(SEPARATOR, "_") for variable in known}
    for variable in sorted(name for name in environment if name.upper().startswith(PREFIX)):
        if variable in known:
            origin = f"environment variable {variable}"
            yield _typed(known[variable], environment[variable], origin)
        elif SEPARATOR in variable or variable.upper() in slips:
            near = _near(variable[len(PREFIX) :].lower().replace(SEPARATOR, "."), SETTINGS)
            guess = _guess(SETTINGS[near].variable if near else None)
            yield Mistake("environment", f'unknown setting "{variable}"{guess}')


def from_overrides(overrides: Sequence[str]) -> Found:
    """The settings in texts such as ``api.port=8420`` from the command line."""
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            yield Mistake("command line", 'an override should look like "section.key=value"')
        elif name not in SETTINGS:
            yield Mistake("command line", _unknown(name, SETTINGS))
        else:
            yield _typed(SETTINGS[name], text, f"command line, {name}")


def _typed(setting: Setting, text: str, origin: str) -> Given | Mistake:
    """A text setting takes the text as it is, so that a secret may hold `#` or `: `; all others are YAML."""
    if setting.is_text:
        value = None if setting.may_be_null and text == "null" else text
        return Given(setting.name, value, origin)
    try:
        return Given(setting.name, _yaml().load(text), origin)
    except (YAMLError, ValueError, RecursionError):
        return Mistake(origin, "not a YAML value")
