"""A folder of releases, the link to the one in force, and the list of those that were."""

import re
from datetime import UTC, datetime
from pathlib import Path

from penelope.errors import ActionFailed, InvalidPlaybook, Unavailable

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")


def check_release_name(release: str) -> None:
    """Raises InvalidPlaybook unless the name is that of a plain folder."""
    if not _PLAIN.fullmatch(release):
        raise InvalidPlaybook(
            f"{release[:80]!r} is not the name of a release",
            hint="A release is a plain folder name: letters, figures, `.`, `_`, `+` and `-`.",
        )


class Releases:
    """`link` points at one folder in `folder`; ``<link>.history`` lists releases, the newest last.

    Every method may raise Unavailable.
    """

    def __init__(self, link: Path, folder: Path) -> None:
        self._link = link
        self._folder = folder
        self._history = link.with_name(link.name + ".history")

    def present(self) -> str | None:
        """The release in force, None where there is no link yet."""
        try:
            return self._link.readlink().name
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"the release link cannot be read: {error.strerror}") from error

    def previous(self) -> str | None:
        """The last release in the history that is not the one in force."""
        present = self.present()
        return next((release for release in reversed(self._lines()) if release != present), None)

    def deployed_at(self) -> datetime | None:
        """When the link was last switched."""
        try:
            return datetime.fromtimestamp(self._link.lstat().st_mtime, UTC)
        except OSError:
            return None

    def require(self, release: str) -> None:
        """Raises ActionFailed unless the release exists."""
        check_release_name(release)
        if not (self._folder / release).is_dir():
            raise ActionFailed(f"there is no release {release!r}", hint="Deploy it first.")

    def switch(self, release: str) -> None:
        """Puts a release in force, in one atomic step, and notes it in the history; repeating is harmless."""
        self.require(release)
        present = self.present()
        try:
            if present is not None:
                self._note(present)
            if present != release:
                self._point_at(release)
            self._note(release)
        except OSError as error:
            raise Unavailable(f"the release link cannot be switched: {error.strerror}") from error

    def _point_at(self, release: str) -> None:
        aside = self._link.with_name(f".{self._link.name}.next")
        aside.unlink(missing_ok=True)
        aside.symlink_to((self._folder / release).absolute(), target_is_directory=True)
        aside.replace(self._link)

    def _note(self, release: str) -> None:
        if self._lines()[-1:] == [release]:
            return
        with self._history.open("a", encoding="utf-8") as history:
            history.write(release + "\n")

    def _lines(self) -> list[str]:
        try:
            return self._history.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable("the release history cannot be read") from error
