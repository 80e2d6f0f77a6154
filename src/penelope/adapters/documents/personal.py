"""Finds personal data in texts: what can be told by its form and proven by its check digits.

It proposes a classification, which is applied upward only. It is no proof that a text holds none: names, addresses and
numbers in the form of one country alone are not looked for.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import stdnum.de.idnr
import stdnum.es.dni
import stdnum.es.nie
import stdnum.fr.nir
import stdnum.iban
import stdnum.it.codicefiscale
import stdnum.luhn
import stdnum.us.ssn

_EMAIL = re.compile(
    r"(?<![\w.+-])([A-Za-z0-9][\w.+-]{0,63})@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![\w-])"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![0-9A-Za-z.-])[3-6][0-9]{3}(?:[ -]?[0-9]{2,6}){2,4}(?![0-9A-Za-z.-])")
_NETWORK = re.compile(
    r"4[0-9]{15}|5[1-5][0-9]{14}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|35[0-9]{14}|6[0-9]{15,18}"
)
"""Visa, Mastercard, American Express, Diners, JCB, and Discover, Maestro and UnionPay, by their first digits and length."""
_PHONE = re.compile(
    r"(?<![\w.+])(?:\+[1-9][0-9]{0,2}(?:[ .()/-]{0,2}[0-9]{1,4}){3,7}|\([2-9][0-9]{2}\) ?[2-9][0-9]{2}-[0-9]{4})(?![\w-])"
)
_ROLES = frozenset(
    [
        "abuse",
        "admin",
        "alerts",
        "api",
        "billing",
        "contact",
        "dev",
        "devops",
        "engineering",
        "finance",
        "hello",
        "help",
        "info",
        "it",
        "legal",
        "mail",
        "marketing",
        "no-reply",
        "noc",
        "noreply",
        "office",
        "oncall",
        "on-call",
        "ops",
        "orders",
        "platform",
        "postmaster",
        "privacy",
        "root",
        "sales",
        "security",
        "service",
        "sre",
        "support",
        "team",
        "webmaster",
    ]
)
_ROLE_ENDS = ("-team", ".team", "-oncall", "-on-call", "-alerts", "-ops", "-support", "-service")
_RESERVED = (".example", ".test", ".invalid", ".localhost", ".local", ".internal")
"""Domains nobody has a mailbox in (RFC 2606, RFC 6762)."""

_NATIONAL: Mapping[str, tuple[Any, re.Pattern[str]]] = {
    "US social security number": (
        stdnum.us.ssn,
        re.compile(r"(?<![\w-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![\w-])"),
    ),
    "Spanish DNI": (stdnum.es.dni, re.compile(r"(?<!\w)[0-9]{8}-?[A-Z](?!\w)")),
    "Spanish NIE": (stdnum.es.nie, re.compile(r"(?<!\w)[XYZ]-?[0-9]{7}-?[A-Z](?!\w)")),
    "French NIR": (
        stdnum.fr.nir,
        re.compile(r"(?<!\w)[12] ?[0-9]{2} ?[0-9]{2} ?[0-9AB]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}(?!\w)"),
    ),
    "Italian codice fiscale": (
        stdnum.it.codicefiscale,
        re.compile(r"(?<!\w)[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z](?!\w)"),
    ),
    "German tax id": (stdnum.de.idnr, re.compile(r"(?<!\w)[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}(?!\w)")),
}


def personal(text: str) -> Mapping[str, int]:
    """How many different ones of each kind a text holds; nothing of them themselves, for they must not be told on."""
    finders: tuple[Callable[[str], Iterator[tuple[str, str]]], ...] = (_mail, _banks, _cards, _phones, _ids)
    return dict(
        sorted(Counter(kind for kind, _ in {item for each in finders for item in each(text)}).items())
    )


def _mail(text: str) -> Iterator[tuple[str, str]]:
    for found in _EMAIL.finditer(text):
        box, domain = found[1].casefold(), found[2].casefold()
        reserved = domain.endswith(_RESERVED) or re.search(r"(^|\.)example\.(com|net|org)$", domain)
        if not reserved and box not in _ROLES and not box.endswith(_ROLE_ENDS):
            yield "e-mail address", f"{box}@{domain}"


def _banks(text: str) -> Iterator[tuple[str, str]]:
    for found in _IBAN.finditer(text):
        # Words may follow that fit the form: the number is the longest beginning that is right.
        whole = found[0].replace(" ", "")
        right = next((whole[:n] for n in range(len(whole), 14, -1) if stdnum.iban.is_valid(whole[:n])), None)
        if right:
            yield "IBAN", right


def _cards(text: str) -> Iterator[tuple[str, str]]:
    for found in _CARD.finditer(text):
        digits = re.sub(r"[ -]", "", found[0])
        if _NETWORK.fullmatch(digits) and stdnum.luhn.is_valid(digits):
            yield "card number", digits


def _phones(text: str) -> Iterator[tuple[str, str]]:
    for found in _PHONE.finditer(text):
        digits = re.sub(r"[^0-9]", "", found[0])
        # E.164 has at most 15; fictional American numbers are 555-01xx.
        if 8 <= len(digits) <= 15 and not re.search(r"55501[0-9]{2}$", digits):
            yield "phone number", digits


def _ids(text: str) -> Iterator[tuple[str, str]]:
    for kind, (module, pattern) in _NATIONAL.items():
        for found in pattern.finditer(text):
            if module.is_valid(found[0]):
                yield kind, re.sub(r"[ -]", "", found[0])
