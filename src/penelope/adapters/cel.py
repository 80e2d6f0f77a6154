"""CEL, Google's expression language, in the part of it that operators may use: typed, bounded, without side effects."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cel_expr_python import cel

from penelope.adapters.yaml_model import suggestion

LONGEST = 1000
"""Characters of an expression."""

MOST_PLUSES = 8
"""How often `+` may stand in an expression: each can double a text, so that it grows 256 times at most."""

_SUBSET = """
name: penelope
stdlib:
  exclude_macros: [map, filter]
  exclude_functions:
    - name: dyn
    - name: _+_
      overloads: [{id: add_string}, {id: add_list}, {id: add_bytes}]
"""
# Macros that build lists, and additions that build texts, would let an expression grow what it works on; it judges,
# and needs neither. The library itself stops at 10,000 iterations and at 32 levels of nesting.

_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
_LINE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")

_TYPES: Mapping[str, Any] = {
    "string": cel.Type.STRING,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "bool": cel.Type.BOOL,
    "timestamp": cel.Type.TIMESTAMP,
    "list(string)": cel.Type.List(cel.Type.STRING),
    "map(string, string)": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "list(map(string, dyn))": cel.Type.List(cel.Type.Map(cel.Type.STRING, cel.Type.DYN)),
}


def environment(variables: Mapping[str, str]) -> Any:
    """Where expressions over these variables are compiled; each is given with its type, as CEL writes it."""
    typed = {name: _TYPES[kind] for name, kind in variables.items()}
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(_SUBSET), variables=typed)


def compiled(where: Any, source: str, known: Iterable[str], page: str) -> Any:
    """The program of an expression that is true or false. Raises ValueError that says why it is not admitted: `known`
    are the variables that may have been meant, `page` is the document that lists them.
    """
    for problem in _too_much(source):
        raise ValueError(problem)
    try:
        program = where.compile(source)
    except RuntimeError as error:
        raise ValueError(_reason(str(error), known, page)) from None
    if program.return_type().name() != "BOOL":
        raise ValueError(f"must be true or false, but it is of type {program.return_type().name().lower()}")
    return program


def cost(program: Any, activation: Any) -> float:
    """The CPU that one judgement takes, in seconds: the least of three."""
    return min(_seconds(program, activation) for _ in range(3))


def complaint(message: str) -> str | None:
    """What an error of judging says that no other input would mend: a bad pattern, an unknown time zone."""
    if "regular expression" in message or "timezone" in message:
        return message.partition(": ")[2].lower() or message
    return None


def _seconds(program: Any, activation: Any) -> float:
    began = time.thread_time()
    program.eval(activation)
    return time.thread_time() - began


def _too_much(source: str) -> Iterator[str]:
    if len(source) > LONGEST:
        yield f"is longer than {LONGEST} characters"
    if source.count("+") > MOST_PLUSES:
        yield f"has more than {MOST_PLUSES} plus signs"
    if not source.isprintable() and not all(item.isprintable() or item in "\n\t" for item in source):
        yield "holds a character that cannot be seen"


def _reason(text: str, known: Iterable[str], page: str) -> str:
    """The library's first complaint, without its drawing, and what may have been meant."""
    found = _LINE.search(text)
    if found is None:
        return "is nested too deeply" if "recursion limit" in text else text.splitlines()[0]
    message = f"{found[3]} (line {found[1]}, column {found[2]} of the expression)"
    if (name := _UNDECLARED.search(text)) is not None:
        message += suggestion(name[1], known) or f"; {page} lists the variables"
    return message
