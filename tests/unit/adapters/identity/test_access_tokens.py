"""Tokens that are good, and every known way to make one that only looks so (RFC 8725, 2; RFC 9068, 4)."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from token_making import CORP, EC, ED, NOW, OTHER_EC, RSA, SHOP, World, by_hand, claims, part, raw, token

from penelope.errors import InvalidToken
from penelope.flow.keys import Scope


@pytest.fixture
def world() -> World:
    return World()


# --- what is good -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "header"),
    [
        (EC, {}),
        (RSA, {"alg": "RS256", "kid": "two"}),
        (ED, {"alg": "EdDSA", "kid": "three"}),
        (EC, {"typ": "application/at+jwt"}),
        (EC, {"typ": "AT+JWT"}),
        (EC, {"kid": ...}),  # the issuer has one key of this kind
        (EC, {"x5t": "some", "cat": "unknown names are ignored (RFC 7515, 4)"}),
    ],
)
def test_a_good_token_says_who_it_is_and_what_they_may(
    world: World, key: Any, header: dict[str, Any]
) -> None:
    caller = world.read(token(key, header))
    assert (caller.actor, caller.holder, caller.known) == ("oidc:corp:ann", "oidc:corp:ann", True)
    assert caller.scopes == {Scope.READ, Scope.WRITE}
    assert (caller.role, caller.region) == ("analyst", "EMEA")
    assert world.observer.outcomes == [("corp", "good")]


def test_ed25519_by_its_own_name_is_taken_where_it_is_admitted() -> None:
    good = token(ED, {"alg": "Ed25519", "kid": "three"})
    assert World().refusal(good) == "algorithm"
    assert World(algorithms=frozenset({"Ed25519"})).read(good).actor == "oidc:corp:ann"


def test_the_first_role_that_fits_counts_and_scopes_add_up(world: World) -> None:
    caller = world.read(token(groups=["sre", "chief", "nobody-knows"]))
    assert (caller.role, caller.region) == ("executive", "")
    assert caller.scopes == {Scope.READ, Scope.WRITE, Scope.APPROVE}


@pytest.mark.parametrize(
    "groups",
    [..., [], "SRE", ["sre "], "sre chief", {"sre": True}, [["sre"]], [{"sre": 1}], 7, None, True],
)
def test_what_is_mapped_to_nothing_gives_nothing(world: World, groups: Any) -> None:
    caller = world.read(token(groups=groups))
    assert (caller.scopes, caller.role) == (frozenset(), "")


@pytest.mark.parametrize(
    ("claim", "more"),
    [
        ("scope", {"scope": "openid sre"}),
        ("scp", {"scp": ["sre"]}),
        ("realm_access.roles", {"realm_access": {"roles": ["sre"]}}),
        ("https://corp.example/roles", {"https://corp.example/roles": ["sre"]}),
        ("role", {"role": "sre"}),
    ],
)
def test_groups_are_found_where_the_settings_say(claim: str, more: dict[str, Any]) -> None:
    world = World(groups_claim=claim)
    assert world.read(token(groups=..., **more)).scopes == {Scope.READ, Scope.WRITE}
    assert world.read(token()).scopes == frozenset()


@pytest.mark.parametrize("aud", ["penelope", ["penelope"], ["other", "penelope", 7]])
def test_one_audience_of_several_is_us(world: World, aud: Any) -> None:
    assert world.read(token(aud=aud)).actor == "oidc:corp:ann"


@pytest.mark.parametrize(
    ("exp", "good"), [(NOW + 1, True), (NOW, True), (NOW - 9, True), (NOW - 10, False), (NOW - 9.5, True)]
)
def test_clocks_may_differ_by_so_much(world: World, exp: float, *, good: bool) -> None:
    if good:
        assert world.read(token(exp=exp))
    else:
        assert world.refusal(token(exp=exp)) == "expired"
    early = token(nbf=exp + 10)
    assert world.read(early) if exp <= NOW else world.refusal(early) == "early"


def test_it_is_good_until_it_says(world: World) -> None:
    _, until = asyncio.run(world.tokens.read(token(exp=NOW + 0.5), world.clock.now()))
    assert until.timestamp() == NOW + 0.5


# --- who it is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"client_id": "ann"},
        {"azp": "ann"},
        {"gty": "client-credentials"},
        {"idtyp": "app"},
        {"groups": ["sre", "robots"]},
    ],
)
def test_a_program_is_no_person(world: World, more: dict[str, Any]) -> None:
    caller = world.read(token(**more))
    assert (caller.actor, caller.holder) == ("agent:oidc:corp:ann", "agent:oidc.corp.ann")


def test_two_issuers_never_name_the_same_person(world: World) -> None:
    mine = world.read(token())
    theirs = world.read(token(OTHER_EC, iss=SHOP))
    assert (mine.actor, theirs.actor) == ("oidc:corp:ann", "oidc:shop:ann")
    assert theirs.scopes == {Scope.READ}


@pytest.mark.parametrize(
    "sub",
    [
        ...,
        None,
        7,
        True,
        "",
        ["ann"],
        {"a": 1},
        "a" * 256,
        "ann smith",
        "ann\n",
        "ann\x00",
        "\u202eann",
        "änn",
        "\u0430",
    ],
)
def test_a_name_that_could_be_taken_for_another_is_refused(world: World, sub: Any) -> None:
    assert world.refusal(token(sub=sub)) == "name"


def test_an_address_counts_only_where_the_issuer_has_verified_it() -> None:
    world = World(actor_claim="email")
    for verified in (..., False, "true", 1, None):
        assert world.refusal(token(email="ann@corp.example", email_verified=verified)) == "name"
    assert (
        world.read(token(email="ann@corp.example", email_verified=True)).actor == "oidc:corp:ann@corp.example"
    )


@given(sub=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_name_leaves_its_issuer(sub: str) -> None:
    caller = World().read(token(sub=sub))
    assert caller.actor == f"oidc:corp:{sub}"
    assert caller.holder == caller.actor


# --- what is not --------------------------------------------------------------------------------------------

SHARED = EC.as_pem(private=False)
HEADERS = [
    ("algorithm", SHARED, {"alg": "HS256"}),  # signed with the public key as if that were a secret
    ("algorithm", EC, {"alg": "none"}),
    ("algorithm", EC, {"alg": "None"}),
    ("algorithm", EC, {"alg": "es256"}),
    ("algorithm", EC, {"alg": "ES384"}),
    ("algorithm", EC, {"alg": "ES256K"}),
    ("algorithm", EC, {"alg": "PBES2-HS256+A128KW"}),
    ("algorithm", EC, {"alg": ...}),
    ("algorithm", EC, {"alg": ["ES256"]}),
    ("algorithm", EC, {"alg": None}),
    ("key", EC, {"alg": "RS256"}),  # a name of a key of another kind
    ("key", EC, {"kid": "nobody"}),
    ("key", EC, {"kid": 1}),
    ("key", EC, {"kid": "k" * 257}),
    ("key", EC, {"kid": "../../etc/passwd"}),
    ("signature", OTHER_EC, {}),
    ("signature", OTHER_EC, {"kid": ...}),
    ("signature", OTHER_EC, {"jwk": OTHER_EC.as_dict(private=False)}),
    ("signature", OTHER_EC, {"jku": "https://attacker.example/keys"}),
    ("signature", OTHER_EC, {"x5u": "https://attacker.example/certificate"}),
    ("signature", OTHER_EC, {"x5c": ["MIIB"]}),
    ("form", EC, {"crit": ["exp"], "exp": 1}),
    ("form", EC, {"crit": ["b64"], "b64": False}),
    ("form", EC, {"b64": False}),
    ("form", EC, {"crit": []}),
    ("form", EC, {"crit": "b64"}),
    ("type", EC, {"typ": "JWT"}),  # an ID token
    ("type", EC, {"typ": ...}),
    ("type", EC, {"typ": "logout+jwt"}),
    ("type", EC, {"typ": ["at+jwt"]}),
]


@pytest.mark.parametrize(("outcome", "key", "header"), HEADERS)
def test_a_header_does_not_decide_how_it_is_checked(
    world: World, outcome: str, key: Any, header: dict[str, Any]
) -> None:
    assert world.refusal(token(key, header)) == outcome


@pytest.mark.parametrize(
    "header", [{}, {"jwk": OTHER_EC.as_dict(private=False)}, {"jku": "https://a.example"}]
)
def test_a_key_that_comes_with_a_good_token_is_not_looked_at(world: World, header: dict[str, Any]) -> None:
    assert world.read(token(EC, header)).actor == "oidc:corp:ann"


CLAIMS = [
    ("issuer", {"iss": ...}),
    ("issuer", {"iss": "https://id.corp.example/"}),
    ("issuer", {"iss": "https://ID.corp.example"}),
    ("issuer", {"iss": [CORP]}),
    ("issuer", {"iss": {"a": 1}}),
    ("issuer", {"iss": None}),
    ("signature", {"iss": SHOP}),  # the other issuer has another key of the same name
    ("audience", {"aud": ...}),
    ("audience", {"aud": "other"}),
    ("audience", {"aud": []}),
    ("audience", {"aud": ["Penelope"]}),
    ("audience", {"aud": {"penelope": 1}}),
    ("audience", {"aud": [["penelope"]]}),
    ("audience", {"aud": "penelope other"}),
    ("expired", {"exp": NOW - 3600}),
    ("expired", {"exp": 0}),
    ("form", {"exp": ...}),
    ("form", {"exp": None}),
    ("form", {"exp": True}),
    ("form", {"exp": str(NOW + 300)}),
    ("form", {"exp": 1e300}),
    ("form", {"exp": 10**400}),
    ("form", {"exp": -1}),
    ("form", {"exp": [NOW + 300]}),
    ("early", {"nbf": NOW + 60}),
    ("early", {"iat": NOW + 60}),
    ("form", {"nbf": "now"}),
    ("form", {"iat": {}}),
    ("form", {"iat": None}),
]


@pytest.mark.parametrize(("outcome", "changes"), CLAIMS)
def test_claims_that_are_not_good(world: World, outcome: str, changes: dict[str, Any]) -> None:
    assert world.refusal(token(EC, None, **changes)) == outcome


PAYLOADS = [
    '{"iss": "https://id.corp.example", "aud": "other", "aud": "penelope"}',
    '{"sub": "root", "sub": "ann"}',
    '{"a": {"b": 1, "b": 2}}',
    '{"exp": NaN}',
    '{"exp": Infinity}',
    '{"exp": ' + "9" * 5000 + "}",
    "[]",
    '"text"',
    "null",
    "",
    "{",
    '{"a": ' + "[" * 3000 + "]" * 3000 + "}",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_that_two_readers_would_read_differently(world: World, payload: str) -> None:
    assert world.refusal(raw(payload)) == "form"


def test_a_header_that_says_a_thing_twice(world: World) -> None:
    head = '{"alg": "none", "alg": "ES256", "kid": "one", "typ": "at+jwt"}'
    assert world.refusal(by_hand(head, json.dumps(claims()))) == "form"


GOOD = token()
HEAD, BODY, SIGNED = GOOD.split(".")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        f"{HEAD}.{BODY}",
        f"{HEAD}.{BODY}.",
        f"{HEAD}..{SIGNED}",
        f".{BODY}.{SIGNED}",
        f"{GOOD}.",
        f"{GOOD}.{SIGNED}.{SIGNED}",
        f"{GOOD}=",
        f" {GOOD}",
        f"{GOOD}\n",
        GOOD.replace(".", "．"),  # noqa: RUF001 - a letter that looks like one
        f"{HEAD}.{BODY}.{'A' * 4000}",
        f"{part(b'[]')}.{BODY}.{SIGNED}",
        f"{part(b'7')}.{BODY}.{SIGNED}",
        f"{part(bytes([255, 254]))}.{BODY}.{SIGNED}",
        "eyJ" + "A" * 20_000 + ".e30.AA",
        "A" * 10_000_000,
    ],
)
def test_what_has_not_the_form_of_a_token(world: World, text: str) -> None:
    assert world.refusal(text) == "form"


def test_a_token_that_is_too_long_is_not_looked_at_however_well_it_is_signed(world: World) -> None:
    assert world.read(token(more="x" * 8_000))
    assert world.refusal(token(more="x" * 16_000)) == "form"
    assert world.refusal(token(EC, {"more": "x" * 4_000})) == "form"


def test_the_signature_is_over_every_letter(world: World) -> None:
    other = part(json.dumps(claims(sub="root")).encode())
    assert world.refusal(f"{HEAD}.{other}.{SIGNED}") == "signature"
    assert world.refusal(f"{HEAD}.{BODY}.{part(bytes(64))}") == "signature"
    assert world.refusal(f"{HEAD}.{BODY}.{part(bytes(8))}") == "signature"
    assert world.refusal(token(ECKey.generate_key("P-256"))) == "signature"


def test_a_signature_that_does_not_fit_the_key_it_names_has_nobody_asked(world: World) -> None:
    assert world.read(token())
    world.clock.advance(20)
    assert world.refusal(token(OTHER_EC)) == "signature"
    assert world.observer.asked == {("corp", "good"): 1}


def test_what_is_wrong_is_told_only_of_tokens_that_the_issuer_has_signed(world: World) -> None:
    assert world.refusal(token(OTHER_EC, exp=NOW - 3600, aud="other", sub=7)) == "signature"


@given(
    position=st.integers(0, len(GOOD) - 1),
    letter=st.sampled_from("ABCxyz019-_.=+/ \n"),
)
@settings(max_examples=300, deadline=None)
def test_a_token_with_another_letter_is_never_good(position: int, letter: str) -> None:
    altered = GOOD[:position] + letter + GOOD[position + 1 :]
    if altered != GOOD:
        assert World().refusal(altered)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    head=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "b64"]), JSON),
    body=st.dictionaries(
        st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "groups", "email", "azp"]), JSON
    ),
)
@settings(max_examples=300, deadline=None)
def test_whatever_a_token_says_it_is_refused_or_understood(
    head: dict[str, Any], body: dict[str, Any]
) -> None:
    world = World()
    text = by_hand(
        json.dumps({"alg": "ES256", "kid": "one", "typ": "at+jwt", **head}), json.dumps(claims(**body))
    )
    try:
        caller = world.read(text)
    except InvalidToken:
        return
    assert caller.actor.removeprefix("agent:").startswith("oidc:corp:")
    assert caller.scopes <= {Scope.READ, Scope.WRITE, Scope.APPROVE}
