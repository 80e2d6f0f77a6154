"""An issuer's keys: what of a set is taken, where they may come from, and how long they go on without it."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.util import int_to_base64
from token_making import EC, ED, OTHER_EC, RSA, TRUST, Observer, World, part, public, token

from penelope.adapters.identity import published as publishing
from penelope.adapters.identity.key_shelf import KeyShelf
from penelope.adapters.identity.published import LARGEST_BYTES, Keys, published
from penelope.adapters.identity.trust import Terms
from penelope.errors import Timeout, Unavailable
from penelope.testing.clock import FakeClock
from penelope.testing.own_certificate import certificate

# --- what is published --------------------------------------------------------------------------------------


class Site:
    """A real server on this machine that answers what it is told to."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                status, body, headers = site.answers.get(self.path, (404, b"", {}))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.trust = replace(TRUST, issuer=self.url)

    def say(self, path: str, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers[path] = (status, body, headers)

    def configure(self, **changes: Any) -> None:
        self.asked.clear()
        self.say(
            "/.well-known/openid-configuration",
            {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **changes},
        )

    def keys(self, *keys: Any) -> Keys:
        self.say("/keys", {"keys": list(keys)})
        return asyncio.run(published(self.trust, 5.0))


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, args=(0.02,))
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join()


@pytest.fixture
def site(running: Site) -> Site:
    running.answers.clear()
    running.configure()
    running.trust = replace(TRUST, issuer=running.url)
    return running


def jwk(key: Any, kid: Any = "one", **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", **more}


def test_keys_are_found_by_discovery(site: Site) -> None:
    found = site.keys(jwk(EC), jwk(RSA), jwk(ED, "two", alg="EdDSA"), jwk(OTHER_EC, "one"))
    assert set(found) == {("one", "EC"), ("one", "RSA"), ("two", "OKP")}
    assert found["one", "EC"].thumbprint() == EC.thumbprint()
    assert site.asked == ["/.well-known/openid-configuration", "/keys"]


def test_a_path_and_a_slash_belong_to_the_issuer(site: Site) -> None:
    for path in ("/realms/a", "/realms/b/"):
        site.trust = replace(TRUST, issuer=site.url + path)
        content = {"issuer": site.url + path, "jwks_uri": f"{site.url}/keys"}
        site.say(f"{path.rstrip('/')}/.well-known/openid-configuration", content)
        assert site.keys(jwk(EC))


SHORT = generate_private_key(65_537, 1024).public_key().public_numbers().n

USELESS: list[Any] = [
    7,
    None,
    "key",
    [],
    {},
    jwk(EC, use="enc"),
    jwk(EC, kid=7),
    jwk(EC, kid="k" * 257),
    jwk(EC, key_ops=["encrypt"]),
    jwk(EC, key_ops="verify"),
    jwk(EC, kty="RSA"),
    jwk(EC, kty=["EC"]),
    jwk(EC, x="A"),
    jwk(EC, x="A" * 43),
    jwk(EC, crv="P-999"),
    jwk(EC, alg=7),
    jwk(EC, y=None),
    jwk(OKPKey.generate_key("X25519")),
    jwk(OKPKey.generate_key("Ed448")),
    jwk(RSA, n="AQAB"),
    jwk(RSA, n="A" * 342),
    jwk(RSA, n="A" * 20_000),
    jwk(RSA, e="A" * 400),
    jwk(RSA, e="AA"),
    jwk(RSA, e=int_to_base64(2**600 + 1)),  # each check of a signature would take long
    jwk(RSA, n=part(SHORT.to_bytes(300, "big"))),  # 1,024 bits that look like 2,400
    {**OctKey.generate_key(256).as_dict(private=True), "kid": "one"},
]


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("key", USELESS)
def test_what_is_no_key_to_check_with_is_left_out_of_a_set(site: Site, key: Any) -> None:
    assert set(site.keys(key, jwk(OTHER_EC, "other"))) == {("other", "EC")}
    with pytest.raises(Unavailable, match="no key that can be used"):
        site.keys(key)


def test_a_private_key_that_slipped_out_is_not_kept(site: Site) -> None:
    found = site.keys({**RSAKey.generate_key(2048).as_dict(private=True), "kid": "oh"})
    assert not found["oh", "RSA"].is_private


def test_a_set_is_read_so_far(site: Site) -> None:
    many = [jwk(EC, f"key-{number}") for number in range(publishing.MOST_KEYS + 50)]
    assert len(site.keys(*many)) == publishing.MOST_KEYS


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"keys": ' + b"[" * 100_000,
        b'{"keys": {}}',
        b"{}",
        b'{"keys": []}',
    ],
)
def test_what_is_no_set_of_keys(site: Site, answer: bytes) -> None:
    for path in ("/keys", "/.well-known/openid-configuration"):
        site.say("/keys", {"keys": [jwk(EC)]})
        site.say(path, answer)
        with pytest.raises(Unavailable):
            asyncio.run(published(site.trust, 5.0))
        site.configure()


@pytest.mark.parametrize("status", [204, 301, 302, 401, 404, 500, 503])
def test_only_200_is_an_answer_and_no_redirect_is_followed(site: Site, status: int) -> None:
    site.say("/elsewhere", {"keys": [jwk(EC)]})
    site.say("/keys", {"keys": [jwk(EC)]}, status, Location=f"{site.url}/elsewhere")
    with pytest.raises(Unavailable, match=f"answered {status}"):
        asyncio.run(published(site.trust, 5.0))
    assert "/elsewhere" not in site.asked


def test_an_endless_document_is_cut_off(site: Site) -> None:
    site.say("/keys", b'{"keys": [], "more": "' + b"x" * LARGEST_BYTES + b'"}')
    with pytest.raises(Unavailable, match="256 KiB or more"):
        asyncio.run(published(site.trust, 5.0))


@pytest.mark.parametrize("issuer", [None, "", "https://other.example", 7, ["a"], "/"])
def test_who_says_to_be_another_is_not_believed(site: Site, issuer: Any) -> None:
    site.configure(issuer=f"{site.url}/" if issuer == "/" else issuer)
    with pytest.raises(Unavailable, match="says that it is another one"):
        site.keys(jwk(EC))
    assert "/keys" not in site.asked


@pytest.mark.parametrize(
    "uri",
    [
        None,
        7,
        "",
        "/keys",
        "keys",
        "//127.0.0.1/keys",
        "https://{host}/keys",
        "http://127.0.0.1:1/keys",
        "http://localhost:{port}/keys",
        "http://{host}@evil.example/keys",
        "http://user@{host}/keys",
        "http://evil.example\\@{host}/keys",
        "http://{host}.evil.example/keys",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:{port}/keys",
        "http://[/keys",
        "http://{host}:99999/keys",
        "file:///etc/passwd",
        "gopher://{host}/keys",
        "http://{host}/ke ys",
        "http://{host}/k\u00e9ys",
        "http://{host}/keys\r\nX-A: b",
        "http://{host}/" + "k" * 3000,
    ],
)
def test_keys_come_only_from_where_the_settings_let_them(site: Site, uri: Any) -> None:
    if isinstance(uri, str):
        uri = uri.replace("{host}", site.url[7:]).replace("{port}", str(site.server.server_port))
    site.configure(jwks_uri=uri)
    with pytest.raises(Unavailable, match="do not let them come from"):
        site.keys(jwk(EC))
    assert site.asked == ["/.well-known/openid-configuration"]


def test_another_host_is_asked_where_it_is_named_and_by_tls_alone() -> None:
    trust = replace(TRUST, issuer="https://accounts.example", key_hosts=frozenset({"keys.example:8443"}))
    assert publishing._admitted(trust, "https://keys.example:8443/v3/certs")
    for uri in ("http://keys.example:8443/v3/certs", "https://keys.example/v3/certs"):
        with pytest.raises(Unavailable):
            publishing._admitted(trust, uri)


def test_by_tls_an_issuer_is_believed_only_with_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    secure, context = Site(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    secure.server.socket = context.wrap_socket(secure.server.socket, server_side=True)
    secure.url = secure.url.replace("http:", "https:")
    secure.configure()
    thread = threading.Thread(target=secure.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        secure.trust = replace(TRUST, issuer=secure.url, ca=str(tmp_path / "ca.pem"))
        assert set(secure.keys(jwk(EC))) == {("one", "EC")}
        for ca in ("", str(tmp_path / "nothing.pem")):
            secure.trust = replace(secure.trust, ca=ca)
            with pytest.raises(Unavailable):
                secure.keys(jwk(EC))
    finally:
        secure.server.shutdown()
        secure.server.server_close()
        thread.join()


def test_an_issuer_that_is_not_there(site: Site) -> None:
    with pytest.raises(Unavailable, match="out of reach"):
        asyncio.run(published(replace(site.trust, issuer="http://127.0.0.1:9"), 5.0))


def test_an_issuer_that_does_not_answer_takes_so_long_and_no_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        issuer = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Timeout, match=r"within 0\.2 s"):
            asyncio.run(published(replace(TRUST, issuer=issuer), 0.2))


ODD = st.recursive(
    st.none()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(["RSA", "EC", "OKP", "P-256", "sig", "AQAB"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["keys", "kty", "kid", "n", "e", "x", "y", "crv", "use", "alg"]), inner
        )
    ),
    max_leaves=12,
)


@given(document=st.dictionaries(st.just("keys"), st.lists(ODD, max_size=4) | ODD))
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_no_set_breaks_its_reader(document: dict[str, Any]) -> None:
    assert all(kind in {"RSA", "EC", "OKP"} for _, kind in publishing._usable(document))


# --- how they are kept --------------------------------------------------------------------------------------


class Store:
    """A shelf, its clock, and an issuer that can be stopped, or held up."""

    def __init__(self) -> None:
        self.clock, self.observer = FakeClock(), Observer()
        self.published: Keys = {("one", "EC"): public(EC)}
        self.down = False
        self.asked = 0
        self.gate: asyncio.Event | None = None
        terms = Terms(fresh=timedelta(seconds=300), kept=timedelta(seconds=3600), pause=timedelta(seconds=10))
        self.shelf = KeyShelf("corp", self._fetch, terms, self.clock, self.observer)

    async def _fetch(self) -> Keys:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise Unavailable("down")
        return self.published

    async def thumb(self, kid: str = "one") -> str | None:
        key = await self.shelf.find(kid, "EC")
        return None if key is None else str(key.thumbprint())


def on(work: Callable[[Store], Any]) -> Store:
    async def run() -> Store:
        store = Store()
        await work(store)
        await store.shelf.close()
        return store

    return asyncio.run(run())


def test_keys_are_asked_for_once_while_they_are_fresh() -> None:
    async def work(store: Store) -> None:
        assert store.asked == 0
        for _ in range(5):
            assert await store.thumb() == EC.thumbprint()
            store.clock.advance(59)
        assert store.asked == 1
        store.clock.advance(59)
        assert await store.thumb() == EC.thumbprint()
        assert store.asked == 2

    assert on(work).observer.asked == {("corp", "good"): 2}


def test_a_crowd_asks_once() -> None:
    async def work(store: Store) -> None:
        store.gate = asyncio.Event()
        crowd = [asyncio.create_task(store.thumb()) for _ in range(100)]
        await asyncio.sleep(0)
        crowd[0].cancel()
        await asyncio.sleep(0)
        store.gate.set()
        found = await asyncio.gather(*crowd, return_exceptions=True)
        assert found[1:] == [EC.thumbprint()] * 99
        assert store.asked == 1

    on(work)


def test_a_withdrawn_key_is_good_until_the_issuer_was_asked_again() -> None:
    async def work(store: Store) -> None:
        assert await store.thumb()
        store.published = {("two", "EC"): public(OTHER_EC)}
        store.clock.advance(299)
        assert await store.thumb()
        store.clock.advance(1)
        assert await store.thumb() is None

    on(work)


def test_a_new_key_is_found_at_once_and_made_up_names_ask_seldom() -> None:
    async def work(store: Store) -> None:
        assert await store.thumb()
        store.published = {**store.published, ("two", "EC"): public(OTHER_EC)}
        store.clock.advance(10)
        assert await store.thumb("two") == OTHER_EC.thumbprint()
        assert store.asked == 2
        for number in range(1000):
            assert await store.thumb(f"made-up-{number}") is None
        assert store.asked == 2
        for number in range(1000):
            store.clock.advance(1)
            assert await store.thumb(f"made-up-{number}") is None
        assert store.asked <= 2 + 100

    on(work)


def test_known_keys_go_on_for_an_hour_without_the_issuer_and_then_nobody_is_let_in() -> None:
    async def work(store: Store) -> None:
        assert await store.thumb()
        store.down = True
        for _ in range(12):
            store.clock.advance(300)
            assert await store.thumb() == EC.thumbprint()
            with pytest.raises(Unavailable, match="cannot be found out"):
                await store.thumb("two")
        store.clock.advance(1)
        for _ in range(3):
            with pytest.raises(Unavailable, match="not to be had"):
                await store.thumb()
        store.down = False
        store.clock.advance(10)
        assert await store.thumb() == EC.thumbprint()

    on(work)


def test_never_having_had_keys_lets_nobody_in_and_asks_seldom() -> None:
    async def work(store: Store) -> None:
        store.down = True
        for _ in range(50):
            with pytest.raises(Unavailable):
                await store.thumb()
        assert store.asked == 1

    assert on(work).observer.asked == {("corp", "failed"): 1}


def test_while_the_issuer_hangs_only_the_first_waits_for_it() -> None:
    async def work(store: Store) -> None:
        assert await store.thumb()
        store.down = True
        store.clock.advance(300)
        assert await store.thumb()
        store.gate = asyncio.Event()
        store.clock.advance(10)
        # Asked in the background, and not answered: nobody waits.
        async with asyncio.timeout(1):
            assert await store.thumb() == EC.thumbprint()
        await asyncio.sleep(0)
        assert store.asked == 3

    on(work)


def test_a_clock_that_was_set_back_makes_no_key_younger() -> None:
    async def work(store: Store) -> None:
        assert await store.thumb()
        store.down = True
        store.clock.advance(-7200)
        with pytest.raises(Unavailable):
            await store.thumb()

    on(work)


def test_without_a_name_a_new_key_takes_the_place_of_the_one_that_fits_no_more() -> None:
    world = World()
    nameless: dict[str, Any] = {"kid": ...}
    assert world.read(token(EC, nameless))
    fresh = ECKey.generate_key("P-256")
    world.keys["corp"] = {("", "EC"): public(fresh)}
    assert world.refusal(token(fresh, nameless)) == "signature"  # asked a moment ago
    world.clock.advance(10)
    assert world.read(token(fresh, nameless)).actor == "oidc:corp:ann"
    assert world.refusal(token(EC, nameless)) == "signature"
    world.down = True
    world.clock.advance(10)
    with pytest.raises(Unavailable):  # there may be another one by now
        world.read(token(EC, nameless))
    assert world.read(token(fresh, nameless))
    world.down = False
    world.clock.advance(10)
    world.keys["corp"] = {("", "EC"): public(fresh), ("b", "EC"): public(EC)}
    world.clock.advance(10)
    assert world.refusal(token(OTHER_EC, nameless)) == "signature"
    assert world.refusal(token(fresh, nameless)) == "key"  # which of the two?


def test_without_keys_a_token_is_neither_good_nor_bad() -> None:
    world = World()
    world.down = True
    with pytest.raises(Unavailable):
        world.read(token())
    assert world.observer.outcomes == [("corp", "unavailable")]
