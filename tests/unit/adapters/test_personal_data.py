"""Personal data is found where it is, told by kind and number only, and not seen where it is not."""

import pytest

from penelope.adapters.documents.personal import personal

FOUND = [
    ("write to anna.schmidt@kunden-post.de", {"e-mail address": 1}),
    ("a@mail.de, b@mail.de and A@mail.de", {"e-mail address": 2}),
    ("to DE89 3704 0044 0532 0130 00 please", {"IBAN": 1}),
    ("GB82WEST12345698765432", {"IBAN": 1}),
    ("card 4111 1111 1111 1111", {"card number": 1}),
    ("378282246310005", {"card number": 1}),
    ("call +49 30 901820 today", {"phone number": 1}),
    ("call (415) 867-5309", {"phone number": 1}),
    ("SSN 536-90-4399", {"US social security number": 1}),
    ("DNI 54362315K", {"Spanish DNI": 1}),
    ("RCCMNL83S18D969H", {"Italian codice fiscale": 1}),
]
NOT_FOUND = [
    "checkout-team@shop.de, oncall@shop.de, noreply@shop.de",
    "jane@example.com, bob@shop.example, x@host.internal",
    "DE89 3704 0044 0532 0130 01",
    "4111 1111 1111 1112",
    "0000 0000 0000 0000",
    "order 20260312-00041 at 2026-03-12T08:10:00Z",
    "sha256 8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    "+1 555 555 0123",
    "54362315A and 000-12-3456",
    "host 10.20.30.40:8080, version 3.1.4, +30 percent",
]


@pytest.mark.parametrize(("text", "kinds"), FOUND)
def test_it_is_found(text: str, kinds: dict[str, int]) -> None:
    assert personal(text) == kinds


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert personal(text) == {}


@pytest.mark.parametrize(
    "text", ["a." * 100_000 + "@", "1 " * 200_000, "+1" * 100_000, "DE89" * 50_000, "a@" * 100_000]
)
def test_hostile_texts_take_no_long_time(text: str) -> None:
    assert isinstance(personal(text), dict)
