"""Keeps what was there before an action, where it is too large or too private for history: content by its hash."""

import hashlib
import os
import tempfile
from pathlib import Path

from penelope.errors import CompensationFailed, Unavailable


class Keep:
    """Files in a private folder, each named by the SHA-256 of its content. Beyond one machine the workers share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def folder(self) -> Path:
        return self._folder

    def put(self, content: bytes) -> str:
        """Keeps content on the disk before it returns its name. Raises Unavailable."""
        name = hashlib.sha256(content).hexdigest()
        path = self._folder / name
        try:
            if path.is_file() and path.stat().st_size == len(content):
                return name
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, aside = tempfile.mkstemp(dir=self._folder, prefix=".")
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(aside).replace(path)
            _sync(self._folder)
        except OSError as error:
            raise Unavailable(f"what was there cannot be kept: {error.strerror}") from error
        return name

    def get(self, name: str) -> bytes:
        """The content of that name. Raises CompensationFailed where it is gone or was altered, Unavailable."""
        try:
            content = (self._folder / Path(name).name).read_bytes()
        except FileNotFoundError as error:
            raise CompensationFailed("what was there before is no longer kept") from error
        except OSError as error:
            raise Unavailable(f"what was there cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != name:
            raise CompensationFailed("what was kept of before has been altered")
        return content


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
