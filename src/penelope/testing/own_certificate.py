"""A certificate for 127.0.0.1 that vouches for itself, made anew for each server; and Traefik's section with one."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from penelope.kit.canonical import Json


def certificate(folder: Path) -> Path:
    """Writes ``ca.pem``, which clients trust, and ``server.pem``, which also holds the key; returns the latter."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "penelope.testing")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(public)
    path = folder / "server.pem"
    path.touch(mode=0o600)
    path.write_bytes(private + public)
    return path


def traefik_section(folder: Path) -> dict[str, Json]:
    """The ``tls`` of a dynamic configuration that gives Traefik a default certificate, written to `folder`.

    Without one Traefik makes an RSA key at each change of its configuration: the greatest part of the time that a
    change takes (https://github.com/traefik/traefik/issues/7831).
    """
    file = str(certificate(folder))
    return {"stores": {"default": {"defaultCertificate": {"certFile": file, "keyFile": file}}}}
