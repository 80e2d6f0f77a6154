"""The shape of the code: nothing outgrows its reader, and nothing is silenced without a reason."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

MOST_MODULE_LINES = 400
MOST_FUNCTION_LINES = 60

SILENCED = re.compile(r"#\s*(?:ruff:\s*)?noqa\b|#\s*type:\s*ignore\b|#\s*pragma:\s*no\b")
REASONED = re.compile(
    r"""
    noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*\s+-\s+\w.{7,}   # noqa: RULE - reason
    | type:\s*ignore\[[a-z-]+(?:,\s*[a-z-]+)*\]\s+\#\s+\w.{7,}   # type: ignore[rule]  # reason
    | pragma:\s*no\ (?:cover|branch)\s+-\s+\w.{7,}   # pragma: no cover - reason
    """,
    re.VERBOSE,
)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every function, from `def` to its last line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.name}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def unreasoned(source: str) -> list[int]:
    """The lines on which a checker is silenced without a word on why."""
    return [line for line, text in comments(source) if SILENCED.search(text) and not REASONED.search(text)]


def test_modules_stay_short(shipped: list[Path]) -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in shipped}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > MOST_MODULE_LINES} == {}


def test_functions_stay_short(shipped: list[Path]) -> None:
    # A migration is a list of statements, however many tables it makes.
    lengths = dict(item for path in shipped if path.parent.name != "versions" for item in functions(path))
    assert lengths
    assert {name: length for name, length in lengths.items() if length > MOST_FUNCTION_LINES} == {}


def test_every_module_says_what_it_is_for(shipped: list[Path], root: Path) -> None:
    silent = [
        str(path.relative_to(root))
        for path in shipped
        if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert silent == []


def test_every_folder_of_modules_is_a_package(shipped: list[Path], root: Path) -> None:
    folders = {path.parent for path in shipped} - {root / "src"}
    missing = [str(folder.relative_to(root)) for folder in folders if not (folder / "__init__.py").exists()]
    assert folders
    assert missing == []


def test_a_silenced_checker_is_told_why(all_modules: list[Path], root: Path) -> None:
    found = {
        f"{path.relative_to(root)}:{line}"
        for path in all_modules
        for line in unreasoned(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_the_search_for_reasons_knows_both() -> None:
    prefix = "x = 1  # "
    good = [
        "noqa: S105 - a ruling, not a secret",
        "type: ignore[misc]  # what must not work",
        "an ordinary word",
    ]
    bad = ["noqa", "noqa: S105", "noqa: S105 - no", "type: ignore", "type: ignore[misc]", "pragma: no cover"]
    assert [text for text in good if unreasoned(prefix + text)] == []
    assert [text for text in bad if not unreasoned(prefix + text)] == []


def test_events_that_are_counted_are_events_of_the_story(root: Path) -> None:
    from penelope.telemetry.counting import RULES, SPANS  # noqa: PLC0415 - must not stop the other checks

    package = root / "src" / "penelope"
    story = "\n".join(
        path.read_text(encoding="utf-8")
        for path in [*package.glob("flow/*.py"), *package.glob("rooms/*/*.py")]
    )
    counted = {*RULES, *(event for span in SPANS for event in (span.begins, *span.ends))}
    assert {event for event in counted if f'"{event}"' not in story} == set()
