"""What commands need that work on the database of the settings themselves: it must be there, and speaks in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penelope.errors import BadSettings, Unavailable

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from penelope.settings import Settings


def existing_database(settings: "Settings") -> "URL":
    """The database of the settings. Raises BadSettings for a file that is not there."""
    from penelope.store.database import existing, parse_url  # noqa: PLC0415 - so that `--help` is there at once

    return existing(parse_url(settings.database.url))


def existing_keys(settings: "Settings") -> Path:
    """The folder of the log's keys. Raises BadSettings where it holds none: one made here would belong to no log."""
    folder = settings.ledger.keys
    if not any(folder.glob("*.key")):
        raise BadSettings(
            f"there are no keys in {folder}",
            hint="`penelope serve` makes the first one; or correct the setting ledger.keys.",
        )
    return folder


@contextmanager
def plainly() -> Iterator[None]:
    """Raises BadSettings for a database that cannot be used as it is, and Unavailable for one that does not answer.

    What can only be a mistake of ours stays as it is.
    """
    from sqlalchemy.exc import DataError, DBAPIError, IntegrityError  # noqa: PLC0415 - so that `--help` is there at once

    try:
        yield
    except (DataError, IntegrityError):
        raise
    except DBAPIError as error:
        said = next(iter(str(error.orig).splitlines()), type(error.orig).__name__)
        if _answers(error):
            raise BadSettings(
                f"the database cannot be used: {said}",
                hint="Check database.url. `penelope database migrate` makes missing tables, and"
                " `penelope ledger verify --offline` tells what is damaged.",
            ) from error
        raise Unavailable(
            f"the database does not answer: {said}", hint="Check database.url and that the server is up."
        ) from error


def _answers(error: Any) -> bool:
    """Whether the database was reached, and refuses what it was asked."""
    from sqlalchemy.exc import DBAPIError, OperationalError  # noqa: PLC0415 - so that `--help` is there at once

    from penelope.store.damage import damage_in  # noqa: PLC0415 - so that `--help` is there at once

    try:
        damage_in(error)
    except DBAPIError:
        return not isinstance(error, OperationalError)
    return True
