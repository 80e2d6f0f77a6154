"""A world whose TLS server serves a certificate that is about to expire."""

import asyncio
import hashlib
import shutil
import socket
import ssl
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from penelope.domain.service import Service, Target
from penelope.kit.canonical import Json
from penelope.testing import certificate_issuer, tls_server
from penelope.testing.detached import Detached, read_number, until
from penelope.testing.worlds import World

_NEW_DAYS, _OLD_DAYS, _FINE_DAYS = 90, 3, 30


class ExpiringCertificate(World):
    """A server, the folder that it reads its certificate from, and a program that issues new ones."""

    playbook = "renew-certificate"
    thing = "a real TLS server, and a program that issues real certificates"
    real = True
    signal_name = "CertificateExpiresSoon"

    def __init__(self) -> None:
        self._folder = Path()
        self._old = b""
        self._server: Detached | None = None

    @property
    def _live(self) -> Path:
        return self._folder / "tls" / "live" / "cert.pem"

    @property
    def _issued(self) -> Path:
        return self._folder / "tls" / "issued" / "cert.pem"

    @property
    def _key(self) -> str:
        return str(self._folder / "tls" / "live" / "key.pem")

    async def open(self, folder: Path) -> None:
        self._folder = folder
        for file in (self._live, self._issued):
            file.parent.mkdir(parents=True)
        self._make_key()
        certificate_issuer.issue(self._key, str(self._live), _NEW_DAYS)
        files = [str(self._live), self._key, str(folder / "port"), str(folder / "pid")]
        self._server = Detached([sys.executable, "-I", "-S", tls_server.__file__, *files])
        await until(lambda: read_number(folder / "pid") != 0, "its server does not listen")

    async def close(self) -> None:
        if self._server is not None:
            await self._server.end()

    async def reset(self) -> None:
        shutil.rmtree(self._folder / "receipts", ignore_errors=True)
        await self._serve(_NEW_DAYS)

    async def break_it(self) -> None:
        await self._serve(_OLD_DAYS)
        self._old = ssl.PEM_cert_to_DER_cert(self._live.read_text(encoding="ascii"))

    def service(self) -> Service:
        targets: dict[str, tuple[str, dict[str, Json]]] = {
            "certificate": (
                "file",
                {"root": str(self._folder / "tls"), "trash": str(self._folder / "trash")},
            ),
            "issuer": ("command", {"commands": self._commands(), "receipts": str(self._folder / "receipts")}),
        }
        return Service(
            name="web",
            owner="team web",
            tier=1,
            targets={
                name: Target(name=name, service="web", adapter=adapter, options=options)
                for name, (adapter, options) in targets.items()
            },
        )

    async def healthy(self) -> bool:
        """A handshake shows a certificate that is good for a month."""
        return await asyncio.to_thread(self._days_left) > _FINE_DAYS

    async def state(self) -> Json:
        """No two certificates are alike: one that was issued since the fault is told by what is promised of it."""
        live = ssl.PEM_cert_to_DER_cert(self._live.read_text(encoding="ascii"))
        served = await asyncio.to_thread(self._served)
        return {
            "live": self._told(live),
            "issued": sorted(path.name for path in self._issued.parent.iterdir()),
            "served": "the live one" if served == live else self._told(served),
        }

    def _told(self, certificate: bytes) -> str:
        if certificate == self._old:
            return "the old one"
        good = _days(certificate) > _FINE_DAYS
        return "a new one" if good else f"another: {hashlib.sha256(certificate).hexdigest()}"

    async def gauges(self) -> Mapping[str, float]:
        return {"certificate_days_left": await asyncio.to_thread(self._days_left)}

    def _make_key(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        Path(self._key).touch(mode=0o600)
        Path(self._key).write_bytes(key)

    def _commands(self) -> dict[str, Json]:
        def line(*words: str) -> dict[str, Json]:
            return {"program": sys.executable, "argv": ["-I", certificate_issuer.__file__, *words]}

        reload = line("reload", str(self._folder / "pid"))
        issued = str(self._issued)
        return {
            "issue": {
                **line("issue", self._key, issued, str(_NEW_DAYS)),
                "probe": line("check", issued),
                "undo": line("remove", issued),
                "resumable": True,
            },
            "reload": {**reload, "undo": reload, "resumable": True},
        }

    async def _serve(self, days: float) -> None:
        """Puts a certificate of so many days in force, and waits until it is served."""
        for path in self._issued.parent.iterdir():
            path.unlink()
        certificate_issuer.issue(self._key, str(self._live), days)
        certificate_issuer.reload(str(self._folder / "pid"))
        wanted = ssl.PEM_cert_to_DER_cert(self._live.read_text(encoding="ascii"))
        await until(lambda: self._served() == wanted, "its server does not reload")

    def _served(self) -> bytes:
        """The certificate that a client gets to see; nothing where the server does not answer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # Whom it trusts is not the question here.
        port = read_number(self._folder / "port")
        try:
            with (
                socket.create_connection(("127.0.0.1", port), 5) as plain,
                context.wrap_socket(plain) as secure,
            ):
                return secure.getpeercert(binary_form=True) or b""
        except OSError:
            return b""

    def _days_left(self) -> float:
        return _days(self._served())


def _days(certificate: bytes) -> float:
    """How long it is good for; nothing where there is none."""
    if not certificate:
        return 0.0
    ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    return (ends - datetime.now(UTC)) / timedelta(days=1)
