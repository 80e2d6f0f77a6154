"""What a target of the adapter `command` allows: programs by name, and of their arguments only what fits a pattern."""

import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import msgspec

from penelope.adapters.actions.options import read_options, read_params
from penelope.domain.action import Action
from penelope.domain.service import Target
from penelope.errors import InvalidCatalogue, InvalidPlaybook
from penelope.kit.canonical import Json

MOST_ARGUMENT_CHARACTERS = 200
KEY_ARGUMENT = "key"
"""A name that stands for the action's own key, in any argv."""
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_WHOLE = re.compile(r"(?:--?[A-Za-z0-9][A-Za-z0-9_.-]*=)?\{[a-z][a-z0-9_]*\}")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "busybox"})
_LOADED = ("LD_", "DYLD_", "PYTHONPATH", "PYTHONSTARTUP", "BASH_ENV", "PENELOPE_")
_PLAIN_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


class ArgumentRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an argument may be: one of the `choices`, or a text that fits the `pattern` in full. It may begin with a
    hyphen only where `options` says so.
    """

    pattern: str | None = None
    choices: tuple[str, ...] = ()
    at_most: int = MOST_ARGUMENT_CHARACTERS
    options: bool = False
    default: str | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run may take; `output_bytes` is kept of each of its two streams, the rest is dropped."""

    cpu_seconds: int = 60
    memory_bytes: int = 4 * 1024**3
    file_bytes: int = 1024**3
    processes: int = 64
    output_bytes: int = 65536


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program by its absolute path, and its arguments; ``{name}`` as a whole one, or after ``--option=``, stands for
    an argument of the playbook.
    """

    program: str
    argv: tuple[str, ...] = ()


class CommandRule(Line, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that may be run.

    It has done its work with a status of `succeeded`, had nothing to do with one of `changed_nothing`, and refused to
    begin with one of `refused`; after any other nobody knows, unless `probe` tells: 0 it has taken effect, 1 it has not,
    2 it is half done, anything else that it cannot be told. `undo` takes it back, and must be harmless twice; `observe`
    prints the state that it changes, as JSON or as text. `resumable` says that running it again carries a half-done one
    to its end, `lasting: false` that nothing of it stays that could be taken back (a reload).
    """

    arguments: Mapping[str, ArgumentRule] = {}
    folder: str = "/"
    environment: Mapping[str, str] = {}
    inherit: tuple[str, ...] = ()
    succeeded: tuple[int, ...] = (0,)
    changed_nothing: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()
    probe: Line | None = None
    undo: Line | None = None
    observe: Line | None = None
    resumable: bool = False
    lasting: bool = True
    limits: Limits = Limits()


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target: its commands by name. `receipts` is the folder that keeps what became of them, one of
    Penelope's own where it is not given; beyond one machine the workers share it. `observe` names a command whose
    `observe` tells the target's state.
    """

    commands: Mapping[str, CommandRule]
    receipts: str | None = None


class RunParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`command` is a name in the target's options, `arguments` are its arguments by name."""

    command: str
    arguments: Mapping[str, str] = {}


def check_params(params: Mapping[str, Json]) -> RunParams:
    """The parameters, as far as they can be judged without a target. Raises InvalidPlaybook."""
    read = read_params(RunParams, params)
    if not _NAME.fullmatch(read.command):
        raise InvalidPlaybook("the command's name must be small letters, digits, hyphens and underscores")
    for name, value in read.arguments.items():
        if len(value) > MOST_ARGUMENT_CHARACTERS:
            raise InvalidPlaybook(
                f"the argument {name[:60]!a} is longer than {MOST_ARGUMENT_CHARACTERS} characters"
            )
        if any(unicodedata.category(character)[0] == "C" for character in value):
            raise InvalidPlaybook(f"the argument {name[:60]!a} contains control or invisible characters")
    return read


def rule_of(action: Action) -> tuple[CommandRule, Mapping[str, str]]:
    """The command that an action names, and its arguments, checked. Raises InvalidPlaybook or InvalidCatalogue."""
    params = check_params(action.params)
    commands = read_options(CommandOptions, action.target).commands
    rule = commands.get(params.command)
    if rule is None:
        raise InvalidPlaybook(
            f"the target {action.target.name!r} allows no command {params.command!r}",
            hint=f"It allows {', '.join(sorted(commands)) or 'none'}.",
        )
    _check_rule(action.target, params.command, rule)
    unknown = sorted(set(params.arguments) - set(rule.arguments))
    if unknown:
        raise InvalidPlaybook(f"the command {params.command!r} takes no argument {unknown[0][:60]!a}")
    values = {KEY_ARGUMENT: action.key}
    for name, wanted in rule.arguments.items():
        value = params.arguments.get(name, wanted.default)
        if value is None:
            raise InvalidPlaybook(f"the command {params.command!r} needs the argument {name!r}")
        values[name] = _fitting(name, value, wanted)
    return rule, values


def argv_of(line: Line, values: Mapping[str, str]) -> list[str]:
    """The words of a command line with the arguments filled in. Each stays the one word that it was."""
    words = [_PLACEHOLDER.sub(lambda found: values[found[1]], word) for word in line.argv]
    return [line.program, *words]


def environment_of(rule: CommandRule, key: str) -> dict[str, str]:
    """All that the command gets to see: nothing of Penelope's own environment but what the catalogue names."""
    inherited = {name: os.environ[name] for name in rule.inherit if name in os.environ}
    return {**_PLAIN_ENVIRONMENT, **inherited, **rule.environment, "PENELOPE_ACTION_KEY": key}


def _fitting(name: str, value: str, rule: ArgumentRule) -> str:
    if value.startswith("-") and not rule.options:
        raise InvalidPlaybook(f"the argument {name!r} begins with a hyphen: it would be read as an option")
    if len(value) > rule.at_most:
        raise InvalidPlaybook(f"the argument {name!r} is longer than {rule.at_most} characters")
    if rule.choices and value not in rule.choices:
        raise InvalidPlaybook(f"the argument {name!r} is none of the choices that the catalogue lists")
    # ASCII: \d and \w would let in digits and letters of every script.
    if rule.pattern is not None and re.compile(rule.pattern, re.ASCII).fullmatch(value) is None:
        raise InvalidPlaybook(f"the argument {name!r} does not fit the catalogue's pattern in full")
    return value


def _check_rule(target: Target, command: str, rule: CommandRule) -> None:
    """Raises InvalidCatalogue for what an operator cannot have meant."""
    where = f"the command {command!r} of target {target.name!r}"
    for name, argument in rule.arguments.items():
        _check_argument(where, name, argument)
    for line in (rule, rule.probe, rule.undo, rule.observe):
        if line is not None:
            _check_line(where, line, {*rule.arguments, KEY_ARGUMENT})
    _check_environment(where, rule)
    if not Path(rule.folder).is_absolute():
        raise InvalidCatalogue(f"{where}: its folder is not an absolute path")
    if any(limit <= 0 for limit in msgspec.structs.astuple(rule.limits)):
        raise InvalidCatalogue(f"{where}: a limit must be more than nothing")


def _check_argument(where: str, name: str, argument: ArgumentRule) -> None:
    if argument.pattern is None and not argument.choices:
        raise InvalidCatalogue(f"{where}: the argument {name!r} has neither pattern nor choices")
    if name == KEY_ARGUMENT:
        raise InvalidCatalogue(f"{where}: {{key}} stands for the action's key and is no argument")
    try:
        re.compile(argument.pattern or "")
    except re.error:
        raise InvalidCatalogue(f"{where}: the pattern of {name!r} is no regular expression") from None


def _check_environment(where: str, rule: CommandRule) -> None:
    for name in (*rule.environment, *rule.inherit):
        if not _VARIABLE.fullmatch(name):
            raise InvalidCatalogue(f"{where}: {name[:60]!a} is no name of a variable")
    for name in rule.inherit:
        if name.startswith(_LOADED):
            raise InvalidCatalogue(f"{where}: the variable {name} is never handed on")
    if any("\0" in value for value in rule.environment.values()):
        raise InvalidCatalogue(f"{where}: a variable of its environment contains NUL")


def _check_line(where: str, line: Line, known: set[str]) -> None:
    path = Path(line.program)
    if not path.is_absolute() or ".." in path.parts or "\0" in line.program:
        raise InvalidCatalogue(f"{where}: its program is not an absolute, plain path")
    shell = path.name in _SHELLS or path.resolve().name in _SHELLS
    if shell and any(word.startswith("-") and "c" in word.lstrip("-") for word in line.argv):
        raise InvalidCatalogue(f"{where}: a string for a shell is refused; put the script into a file")
    for word in line.argv:
        names = _PLACEHOLDER.findall(word)
        if "\0" in word:
            raise InvalidCatalogue(f"{where}: a word of its argv contains NUL")
        if names and not _WHOLE.fullmatch(word):
            raise InvalidCatalogue(
                f"{where}: {{{names[0]}}} must be a whole word of its argv, or stand after --option="
            )
        if unknown := set(names) - known:
            raise InvalidCatalogue(f"{where}: its argv names the argument {min(unknown)!r}, which it lacks")


def unusable(program: str) -> str:
    """Why a program cannot be trusted to be run, nothing where it can."""
    try:
        found = Path(program).stat()
    except OSError as error:
        return f"cannot be run: {error.strerror}"
    if not stat.S_ISREG(found.st_mode) or not os.access(program, os.X_OK):
        return "is no program"
    if found.st_mode & stat.S_IWOTH:
        return "can be changed by anybody"
    return ""
