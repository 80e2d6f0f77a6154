"""Secrets in files, as Docker and Kubernetes mount them: ``secret://file/NAME``."""

import asyncio
import os
import stat
from pathlib import Path

from penelope.adapters.secrets.reference import LARGEST_BYTES, Reference, missing, plain
from penelope.errors import BadSettings, Unavailable

_TOO_OPEN = 0o027
"""Others may not even read it, and the group, which a mounted volume may need, may only read it."""


class FileSecrets:
    """Gives the content of files below one folder, without the line break at the end. Links are followed (mounted
    volumes consist of them) as long as they lead to something below the folder.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    async def read(self, reference: Reference) -> str:
        if self._folder is None:
            raise missing(reference, "cannot be read: no folder is set (secrets.folder)")
        return await asyncio.to_thread(_read, self._folder, plain(reference))


def _read(folder: Path, reference: Reference) -> str:
    try:
        root = folder.resolve(strict=True)
        path = (root / reference.path).resolve(strict=True)
        if not path.is_relative_to(root):
            raise missing(reference, "leads out of the folder of secrets")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            _check(os.fstat(stream.fileno()), reference)
            content = stream.read(LARGEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # a loop of links is a RuntimeError
        raise missing(reference, "names a file that is not there") from None
    except PermissionError:
        raise missing(reference, "names a file that this process may not read") from None
    except OSError as error:
        raise Unavailable(f"{reference.text} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_BYTES:
        raise missing(reference, "is larger than a secret can be")
    try:
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise missing(reference, "is no text in UTF-8") from None


def _check(status: os.stat_result, reference: Reference) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise missing(reference, "names no file")
    if status.st_mode & _TOO_OPEN:
        raise BadSettings(
            f"{reference.text} is open to others: its mode is {stat.S_IMODE(status.st_mode):04o}",
            hint="chmod 600 it; for a Kubernetes volume set defaultMode to 0400 or 0440.",
        )
