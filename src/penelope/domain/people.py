"""Who a person is, however the name was spelled and by whatever channel the person spoke."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

APPROVER = "approver"
"""The role of everybody who may answer requests."""

NOBODY_KNOWN = "unknown owner"
"""The one identity of all whose keys name no owner. It holds a space, which no other identity does."""

AGENT = "agent:"
"""What the identity of an AI agent begins with."""

_ROLE = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""As a quorum names it: what is spelled otherwise has no seat anywhere."""


_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\ufe00-\ufe0f\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""What shows nothing and is neither of Unicode's categories Cf and Cc: the rest of its property
Default_Ignorable_Code_Point, and the empty Braille cell.
"""


def identity_of(text: str) -> str:
    """One spelling for all spellings of a name: Unicode NFKC, without case, invisible characters and white space,
    and an e-mail address without what its local part has behind a plus (RFC 5233 calls that the detail), its domain
    as the network knows it (IDNA, RFC 3490).
    """
    visible = "".join(
        character
        for character in unicodedata.normalize("NFKC", text)
        if unicodedata.category(character) not in {"Cf", "Cc"} and not character.isspace()
    )
    folded = unicodedata.normalize("NFKC", _UNSEEN.sub("", visible).casefold())
    local, at, domain = folded.rpartition("@")
    return f"{local.partition('+')[0]}@{_on_the_wire(domain.rstrip('.'))}" if at else folded


def _on_the_wire(domain: str) -> str:
    try:
        return domain.encode("idna").decode()
    except UnicodeError:  # no domain that the network could know
        return domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is known: `id` is an identity, `aliases` are identities too (`slack:u0ada` for a Slack user)."""

    id: str
    roles: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    mail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Voter:
    """Who speaks. Votes count by `identity`; `actor` is the name that history shows."""

    identity: str
    actor: str
    roles: frozenset[str] = frozenset({APPROVER})
    machine: bool = False


@dataclass(frozen=True, slots=True)
class People:
    """The persons that the settings name. Somebody else is who their key says, with the role `approver` only."""

    persons: tuple[Person, ...] = ()
    _by_alias: Mapping[str, Person] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError where one name stands for two persons."""
        index: dict[str, Person] = {}
        for person in self.persons:
            for alias in {person.id, *person.aliases}:
                if index.setdefault(alias, person) is not person:
                    raise ValueError(f"{alias} is named for two people: {index[alias].id} and {person.id}")
        object.__setattr__(self, "_by_alias", index)

    def find(self, name: str) -> Person | None:
        """The person whom a name, an e-mail address or a `slack:` id stands for."""
        return self._by_alias.get(identity_of(name))

    def identity(self, name: str) -> str:
        """The identity behind a name."""
        person = self.find(name)
        return identity_of(name) if person is None else person.id

    def voter(self, name: str, actor: str) -> Voter:
        """Who speaks under a name. An agent holds the one seat that bears its name, and never a person's."""
        identity = self.identity(name)
        if identity.startswith(AGENT):
            return Voter(identity=identity, actor=actor, roles=frozenset({identity}), machine=True)
        person = self.find(name)
        roles = frozenset() if person is None else person.roles
        return Voter(identity=identity, actor=actor, roles=roles | {APPROVER})


def person_from(text: str) -> Person:
    """A person from a line such as ``ada@example.com aka=ada,a.lovelace roles=dba slack=U0ADA``.

    An identity that is an e-mail address is where mail goes, unless ``mail=`` names another. Raises ValueError.
    """
    name, *words = text.split() or [""]
    known = _known_of(words)
    mails = known.get("mail", [name if "@" in name else ""])
    if len(mails) > 1:
        raise ValueError(f"{text!r} should name one address behind mail=")
    mail, roles = mails[0], known.get("roles", [])
    if wrong := [role for role in roles if not _ROLE.fullmatch(role)]:
        raise ValueError(
            f"{wrong[0]!r}: a role is written as in `approval.quorum`, in small letters such as dba"
        )
    users = (f"slack:{user}" for user in known.get("slack", ()))
    aliases = frozenset(map(identity_of, [*known.get("aka", ()), *users, *([mail] if mail else [])]))
    identity = identity_of(name)
    if not identity:
        raise ValueError(f"{text!r} names nobody")
    if "" in aliases:
        raise ValueError(f"{text!r} holds an empty name")
    if any(other.startswith(AGENT) for other in {identity, *aliases}):
        raise ValueError(f"{text!r} makes a person of an agent, whose word would count as the person's")
    return Person(id=identity, roles=frozenset(roles), aliases=aliases, mail=mail or None)


def _known_of(words: Iterable[str]) -> dict[str, list[str]]:
    """What the words behind a person's name say. Raises ValueError, also where one would take another's place."""
    known: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value or key not in {"aka", "roles", "slack", "mail"}:
            raise ValueError(f"{word!r} should be aka=, roles=, slack= or mail= with a value")
        if key in known:
            raise ValueError(f"{key}= stands twice; write its values behind one, with commas")
        known[key] = value.split(",")
        if key != "roles" and "" in known[key]:
            raise ValueError(f"{word!r} holds an empty name")
    return known
