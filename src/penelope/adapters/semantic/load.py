"""Reads files of data models once, and checks them whole."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from penelope.adapters.semantic.build import Build
from penelope.adapters.semantic.checks import findings
from penelope.adapters.semantic.schema import ModelFile
from penelope.adapters.semantic.shape import Shape
from penelope.adapters.semantic.views import add_views
from penelope.adapters.yaml_model import validate
from penelope.adapters.yaml_source import Problem, read
from penelope.errors import BadSettings

MOST_FILES = 500


def load_models(paths: Sequence[Path]) -> Shape:
    """The data models of files and folders. Raises BadSettings naming ``file:line:column`` of every mistake."""
    shape, problems = read_models(model_files(paths))
    if problems:
        raise BadSettings(
            "\n".join(map(str, problems)), hint="Correct the data models named by semantic.models."
        )
    return shape


def read_models(files: Sequence[Path]) -> tuple[Shape, list[Problem]]:
    """What could be read, and every mistake. Never raises."""
    build = Build()
    views = []
    for file in files[:MOST_FILES]:
        document = read(file)
        content, problems = validate(document, ModelFile)
        build.problems += problems
        if content is not None:
            for index, cube in enumerate(content.cubes):
                build.cube(document, ("cubes", index), cube)
            views += [(document, ("views", index), view) for index, view in enumerate(content.views)]
    if len(files) > MOST_FILES:
        build.problems.append(
            Problem(str(files[MOST_FILES]), 1, 1, f"more than {MOST_FILES} files of models")
        )
    if not build.problems:
        build.problems += findings(build)
    shape = add_views(build, views)
    return shape, sorted(set(build.problems))


def model_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are named, and those of folders and the folders in them, by name. Hidden ones stay out."""
    found: list[Path] = []
    for path in paths:
        found += sorted(_inside(path)) if path.is_dir() else [path]
    return found


def _inside(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*.y*ml"):
        if file.suffix in {".yaml", ".yml"} and not any(
            part.startswith(".") for part in file.relative_to(folder).parts
        ):
            yield file
