"""Who wanted a patch and why, as trailers of its commit; and that no secret gets into history with it."""

from collections.abc import Mapping

import msgspec

from penelope.adapters.scanners.secrets import secrets
from penelope.errors import InvalidPatch, InvalidPlaybook

ACTION_TRAILER = "Penelope-Action"
COMPENSATION_TRAILER = "Penelope-Compensation"
REVERSES_TRAILER = "Penelope-Reverses"
OUR_TRAILERS = "%x00".join(
    f"%(trailers:key={key},valueonly,separator=%x20)" for key in (ACTION_TRAILER, COMPENSATION_TRAILER)
)
"""A format for `git log`: the keys of an action and of a compensation, NUL between them."""
_VALUE_CHARACTERS = 300


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asked for a patch, why, for which incident, by which playbook, and the action key of the patch that it
    follows; each is a line of text, and each may be left out.
    """

    who: str = ""
    why: str = ""
    incident: str = ""
    playbook: str = ""
    parent: str = ""


TRAILERS: Mapping[str, str] = {name: f"Penelope-{name.capitalize()}" for name in Provenance.__struct_fields__}
"""The trailer of each part of a provenance."""


def check_provenance(given: Provenance) -> None:
    """Raises InvalidPlaybook for what is no line of text, InvalidPatch for a secret in it."""
    for name in TRAILERS:
        value: str = getattr(given, name)
        if len(value) > _VALUE_CHARACTERS or not value.isprintable():
            raise InvalidPlaybook(f"{name} must be a line of text of at most {_VALUE_CHARACTERS} characters")
        refuse_secrets(name, value)


def trailers(given: Provenance) -> list[str]:
    """The lines that say it in a commit."""
    return [
        f"{trailer}: {value.strip()}"
        for name, trailer in TRAILERS.items()
        if (value := getattr(given, name)).strip()
    ]


def refuse_secrets(what: str, text: str) -> None:
    """Raises InvalidPatch, which says what kind of secret stands in which line, and never shows it."""
    for kind, value in secrets(text):
        line = text[: max(text.find(value), 0)].count("\n") + 1
        raise InvalidPatch(
            f"the {what} holds a secret ({kind}) in line {line}",
            hint="Keep secrets in a store and refer to them by name; change this one, for it was sent to us.",
        )
