"""Where commands write what they got: standard output, or a file that is replaced once the new one is whole."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from penelope.errors import InvalidRequest

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Where to write it; by default standard output."),
]


def deliver(pieces: Iterable[bytes], output: Path | None) -> None:
    """Writes the pieces. Raises InvalidRequest for a file that cannot be written."""
    if output is None:
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()
        return
    with replacing(output) as aside, aside.open("wb") as stream:
        stream.writelines(pieces)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A file to write, which takes the other's place once it is whole. Raises InvalidRequest if it cannot."""
    aside = file.parent / f".{file.name}.part"
    try:
        if file.exists() and not file.is_file():
            yield file  # a pipe or a device keeps nothing that could be lost, and must not become a file
            return
        yield aside
        aside.replace(file)
    except OSError as error:
        raise InvalidRequest(
            f"{file} cannot be written: {error.strerror}", hint="Name another file."
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink()
