"""A file of Traefik's: read, changed and replaced as a whole, by one writer at a time."""

import fcntl
import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from penelope.errors import Unavailable
from penelope.kit.canonical import Json

_HERE = threading.Lock()


def load(file: Path) -> Json:
    """What a file says, YAML or by its name JSON. Raises Unavailable."""
    try:
        text = file.read_text(encoding="utf-8")
        return json.loads(text) if file.suffix == ".json" else _yaml().load(text)
    except OSError as error:
        raise Unavailable(f"Traefik's file cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, YAMLError) as error:
        raise Unavailable("Traefik's file does not parse") from error


def change(file: Path, edit: Callable[[Json], bool]) -> Json:
    """Lets `edit` change what the file says, and replaces the file if it says that it did; gives the content.

    Whoever reads sees the old file or the new one, also after a crash on any line. What `edit` leaves alone stays, comments
    too. Other processes that change the file by this function wait. Raises Unavailable, and whatever `edit` raises.
    """
    file = file.resolve()
    try:
        with _alone(file):
            document = load(file)
            if edit(document):
                _replace(file, _dump(document, file), file.stat().st_mode & 0o777)
            return document
    except OSError as error:
        raise Unavailable(f"Traefik's file cannot be written: {error.strerror}") from error


def create(file: Path, document: Json) -> None:
    """Makes a JSON file that is not there yet, for nobody but us to read; one that is there stays. Raises Unavailable."""
    file = file.resolve()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _alone(file):
            if not file.exists():
                _replace(file, _dump(document, file), 0o600)
    except OSError as error:
        raise Unavailable(f"Traefik's file cannot be written: {error.strerror}") from error


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Keeps other threads out, and other processes: two that read the same file would undo each other's change."""
    # Traefik reads every .yml, .yaml and .toml of a watched folder; neither of the two names here ends in one.
    with _HERE, file.with_name(f".{file.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(file: Path, text: str, mode: int) -> None:
    aside = file.with_name(f".{file.name}.next")
    with aside.open("w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def _dump(document: Json, file: Path) -> str:
    if file.suffix == ".json":
        return json.dumps(document, indent=2) + "\n"
    text = io.StringIO()
    _yaml().dump(document, text)
    return text.getvalue()
