"""A real OpenID Connect provider in a process of its own: signed in at, killed, and started again with other keys."""

import json
import os
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

import httpx

_START_SECONDS = 60.0
_BACK = "http://localhost/back"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Provider:
    """`oidc-provider-mock` on loopback. Its access tokens are opaque, so that its ID tokens stand for them here."""

    def __init__(self, people: dict[str, dict[str, Any]], audience: str = "penelope") -> None:
        self.audience = audience
        self._people = people
        self._port = free_port()
        self.issuer = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """A provider that starts makes itself a new key."""
        users = [
            word
            for sub, claims in self._people.items()
            for word in ("--user-claims", json.dumps({"sub": sub, **claims}))
        ]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "oidc_provider_mock",
                "--port",
                str(self._port),
                "--token-max-age",
                "90000",
                *users,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "COVERAGE_PROCESS_START": ""},
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                httpx.get(f"{self.issuer}/jwks", timeout=5, trust_env=False).raise_for_status()
            except httpx.HTTPError:
                assert self._process.poll() is None, "the provider has ended"
                assert time.monotonic() < deadline, "the provider does not answer"
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def sign_in(self, sub: str) -> str:
        """A token by the code flow with PKCE (RFC 7636), which this provider takes, and does not check."""
        verifier = token_urlsafe(40)
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        with httpx.Client(trust_env=False, timeout=20) as browser:
            found = browser.get(f"{self.issuer}/.well-known/openid-configuration").json()
            asked = {
                "client_id": self.audience,
                "redirect_uri": _BACK,
                "response_type": "code",
                "scope": "openid profile",
                "state": token_urlsafe(8),
                "nonce": token_urlsafe(8),
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
            sent = browser.post(found["authorization_endpoint"], params=asked, data={"sub": sub})
            code = httpx.URL(sent.headers["location"]).params["code"]
            given = browser.post(
                found["token_endpoint"],
                data={
                    "grant_type": "authorization_code",
                    "code": code,
                    "redirect_uri": _BACK,
                    "code_verifier": verifier,
                },
                auth=(self.audience, "any"),
            )
            token: str = given.raise_for_status().json()["id_token"]
        return token
