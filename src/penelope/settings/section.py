"""What all sections of the settings have in common, and the kinds of values in them."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
    field_validator,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from penelope.kit.described import Described

LONGEST_SECONDS = 1e9
"""Some thirty years: what is longer cannot be added to every moment, and nobody waits for it."""

_LONGEST_DAYS = 10_000
_LARGEST = 10**15
"""Of whole numbers: databases and limits of the system know none that are much larger."""


def _in_folder(path: Path, info: ValidationInfo) -> Path:
    """The path, seen from the folder that `load` names; without one it stays as it is."""
    folder = (info.context or {}).get("folder", Path())
    return Path(folder) / path.expanduser()


def _database_url(text: str, info: ValidationInfo) -> str:
    # No message repeats the text: it may hold a password.
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        message = "should be a URL such as sqlite:///var/penelope.db or postgresql://user@host/database"
        raise ValueError(message) from None
    if url.drivername == "postgresql":
        if not url.database:
            raise ValueError("should name a database: postgresql://user@host/database")
        return text
    if url.drivername != "sqlite":
        raise ValueError("should begin with sqlite:/// or postgresql://")
    if not url.database or url.database.startswith((":", "file:")):
        raise ValueError(
            "should name a file: sqlite:///var/penelope.db; what is in memory is lost in a crash"
        )
    located = url.set(database=str(_in_folder(Path(url.database), info)))
    return located.render_as_string(hide_password=False)


def address(text: str) -> str:
    """The text, if it is the URL of a server. Raises ValueError, and never repeats it."""
    if not text.startswith(("https://", "http://")):
        raise ValueError("should begin with https:// or http://")
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named:
        raise ValueError("should be an address such as https://host:port")
    if "@" in parts.netloc:
        # It would be shown wherever the address is.
        raise ValueError("should hold no user name and no password")
    return text


Address = Annotated[str, AfterValidator(address)]
Location = Annotated[Path, Strict(False), AfterValidator(_in_folder)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
Days = Annotated[int, Field(gt=0, le=_LONGEST_DAYS)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]


class Section(Described):
    """What all sections have in common: nothing unknown, nothing guessed, nothing changed later."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        hide_input_in_errors=True,
    )

    @field_validator("*")
    @classmethod
    def _number_is_no_larger_than_others_take(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise ValueError(f"should not exceed {_LARGEST}")
        return value
