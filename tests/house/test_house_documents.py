"""The documents say what the code does: nothing undocumented, nothing stale, no command that does not exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

GENERATED = [
    "docs/architecture.md",
    "docs/reference/settings.md",
    "docs/reference/errors.md",
    "docs/reference/metrics.md",
    "docs/reference/cli.md",
    "docs/reference/openapi.json",
    "docs/reference/playbook.schema.json",
    "docs/reference/services.schema.json",
    "docs/reference/past-case.schema.json",
    "docs/playbooks/README.md",
]
MAKE = re.compile(r"\bmake ((?:[a-z]+ ?)+)")
PENELOPE = re.compile(r"(?:^|`|\$ )penelope ((?:[a-z]+ ?)+)", re.MULTILINE)


def read(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")


def code(text: str) -> str:
    """The fenced blocks and inline code of a page, a piece a line."""
    fences = re.findall(r"^```(?:console|sh|bash)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join([*fences, *re.findall(r"`[^`\n]+`", rest)])


def pages(root: Path) -> Iterator[tuple[str, str]]:
    """Every page that was written by hand, and the code on it."""
    for path in [*root.glob("*.md"), *root.glob("docs/**/*.md")]:
        if path.parent.name != "reference":
            yield str(path.relative_to(root)), code(path.read_text(encoding="utf-8"))


# --- generated pages --------------------------------------------------------------------------------------


def test_the_list_of_generated_files_is_complete(generate: ModuleType) -> None:
    assert list(generate.GENERATORS) == GENERATED


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_file_is_fresh(name: str, generate: ModuleType) -> None:
    assert list(generate.stale([name])) == [], "run `make docs`"


def test_every_setting_is_documented(root: Path) -> None:
    from penelope.settings.known import SETTINGS  # noqa: PLC0415 - a broken part must not stop the other checks

    page = read(root, "docs/reference/settings.md")
    assert SETTINGS
    assert [name for name in SETTINGS if f"### `{name}`\n" not in page] == []
    assert [item.name for item in SETTINGS.values() if not item.schema.get("description")] == []


def test_every_metric_and_log_field_is_documented(root: Path) -> None:
    from penelope import telemetry  # noqa: PLC0415 - a broken part must not stop the other checks

    page = read(root, "docs/reference/metrics.md")
    names = [*(metric.name for metric in telemetry.METRICS), *telemetry.LOG_FIELDS]
    assert len(set(names)) == len(names)
    assert [name for name in names if f"| `{name}` |" not in page] == []


def leaves(generate: ModuleType) -> list[Any]:
    return [error for error in generate.error_classes() if generate.is_leaf(error)]


def test_every_error_is_documented(root: Path, generate: ModuleType) -> None:
    page = read(root, "docs/reference/errors.md")
    assert [error.code for error in leaves(generate) if f"| `{error.code}` |" not in page] == []


def test_every_error_has_a_code_and_a_hint_of_its_own(generate: ModuleType) -> None:
    codes = [error.code for error in generate.error_classes()]
    assert len(set(codes)) == len(codes)
    assert [error.code for error in leaves(generate) if len(error.hint) < 10 or not error.__doc__] == []


def test_the_drawing_of_the_error_tree_is_true(generate: ModuleType) -> None:
    from penelope import errors  # noqa: PLC0415 - a broken part must not stop the other checks

    drawn = re.findall(r"^[│├└─\s]*([A-Z]\w+)", (errors.__doc__ or "").split("Refusals")[0], re.MULTILINE)
    assert [name for name in drawn if hasattr(errors, name)] == [
        error.__name__ for error in generate.error_classes()
    ]


def test_every_error_has_a_status(generate: ModuleType) -> None:
    from penelope.entry.api import problems  # noqa: PLC0415 - a broken part must not stop the other checks

    statuses = {error.__name__: generate.status_of(error) for error in leaves(generate)}
    assert [name for name, status in statuses.items() if status not in range(400, 600)] == []
    assert [error for error in problems.STATUS if error not in generate.error_classes()] == []


# --- pages by hand ----------------------------------------------------------------------------------------


def test_make_targets_on_the_pages_exist(root: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", read(root, "Makefile"), re.MULTILINE))
    named = {
        (page, word) for page, text in pages(root) for words in MAKE.findall(text) for word in words.split()
    }
    assert {word for page, word in named if page == "README.md"} >= {"demo", "test"}
    assert {(page, word) for page, word in named if word not in targets} == set()


def test_commands_on_the_pages_exist(root: Path) -> None:
    import typer  # noqa: PLC0415 - a broken part must not stop the other checks

    from penelope.entry.cli import main  # noqa: PLC0415 - a broken part must not stop the other checks

    tree: Any = typer.main.get_command(main.app)
    named = {(page, words) for page, text in pages(root) for words in PENELOPE.findall(text)}
    assert named
    assert {(page, words) for page, words in named if not resolves(tree, words.split())} == set()


def resolves(command: Any, words: list[str]) -> bool:
    """Whether the words lead down the tree of commands; words after a command are its arguments."""
    children = getattr(command, "commands", None)
    if children is None or not words:
        return True
    return words[0] in children and resolves(children[words[0]], words[1:])


def test_links_between_pages_lead_somewhere(root: Path) -> None:
    broken = set()
    for path in [*root.glob("*.md"), *root.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8")):
            if not (path.parent / target).exists():
                broken.add((str(path.relative_to(root)), target))
    assert broken == set()


def test_every_shipped_playbook_has_a_page_and_no_page_is_without_one(root: Path) -> None:
    written = {path.stem for path in (root / "docs" / "playbooks").glob("*.md")} - {"README"}
    assert written == {path.stem for path in (root / "playbooks").glob("*.yaml")}


def test_every_adapter_is_on_the_page(root: Path) -> None:
    from penelope.adapters.actions.installed import installed  # noqa: PLC0415 - a broken part must not stop the others

    listed = re.findall(r"^\| `([a-z_]+)` \|", read(root, "docs/adapters.md"), re.MULTILINE)
    assert listed == sorted(installed())


def test_python_on_the_page_about_adapters_is_that_of_the_example(root: Path) -> None:
    example = read(root, "examples/maintenance.py") + read(root, "tests/ports/actions/bench_maintenance.py")
    pieces = re.findall(r"^```python\n(.*?)^```", read(root, "docs/acting.md"), re.DOTALL | re.MULTILINE)
    assert pieces
    assert [piece for piece in pieces if piece not in example] == []


def test_secrets_on_the_pages_can_be_read_as_set_up(root: Path) -> None:
    from penelope.settings.known import SETTINGS  # noqa: PLC0415 - a broken part must not stop the other checks

    prefixes = tuple(SETTINGS["secrets.environment_prefixes"].schema["default"])
    for path in [*root.glob("*.md"), *root.glob("docs/**/*.md")]:
        names = re.findall(r"secret://env/([A-Z_]{2,})", path.read_text(encoding="utf-8"))
        assert [name for name in names if name != "NAME" and not name.startswith(prefixes)] == [], path


def test_decisions_are_numbered_without_gaps_and_listed(root: Path) -> None:
    folder = root / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
    index = read(root, "docs/decisions/README.md")
    assert [name for name in records if f"]({name})" not in index] == []


def test_news_fragments_have_a_known_type(root: Path, pyproject: dict[str, Any]) -> None:
    types = pyproject["tool"]["towncrier"].get("type", None)
    known = (
        {item["directory"] for item in types} if types else {"feature", "bugfix", "doc", "removal", "misc"}
    )
    fragments = [path.name for path in (root / "changes").iterdir() if not path.name.startswith(".")]
    assert [name for name in fragments if name.split(".")[1] not in known or not name.endswith(".md")] == []
