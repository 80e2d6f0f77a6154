"""Issues a certificate for a key, and tells a server to reload; a program of its own, as an ACME client would be.

``issue KEY OUT DAYS``, ``check OUT`` (0 where OUT is good for 30 days more, else 1), ``remove OUT``, ``reload PIDFILE``.
"""

import contextlib
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

_GOOD_DAYS = 30


def issue(key_file: str, out: str, days: float) -> None:
    """Writes a certificate, in one step."""
    from cryptography import x509  # noqa: PLC0415 - slow to import, and not needed by the other verbs
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey  # noqa: PLC0415 - as above

    key = serialization.load_pem_private_key(Path(key_file).read_bytes(), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError("the key is none of an elliptic curve")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    aside = Path(f"{out}.new")
    aside.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    aside.replace(out)


def days_left(out: str) -> float:
    """How long a certificate is good for; nothing where there is none."""
    from cryptography import x509  # noqa: PLC0415 - slow to import, and not needed by the other verbs

    try:
        found = x509.load_pem_x509_certificate(Path(out).read_bytes())
    except (OSError, ValueError):
        return 0.0
    return (found.not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)


def reload(pid_file: str) -> None:
    """Tells a server to load its certificate anew."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(Path(pid_file).read_text(encoding="ascii")), signal.SIGHUP)


def main() -> int:
    """Carries one verb out; returns its exit status."""
    verb, *words = sys.argv[1:]
    if verb == "issue":
        issue(words[0], words[1], float(words[2]))
    elif verb == "check":
        return 0 if days_left(words[0]) > _GOOD_DAYS else 1
    elif verb == "remove":
        for name in (words[0], f"{words[0]}.new"):
            Path(name).unlink(missing_ok=True)
    elif verb == "reload":
        reload(words[0])
    else:
        return 64
    return 0


if __name__ == "__main__":
    sys.exit(main())
