"""A TLS server that loads its certificate anew on SIGHUP; started by its path, with stdlib only.

Arguments: the certificate, its key, the file that gets the port, the file that gets the process id.
"""

import contextlib
import os
import signal
import socket
import ssl
import sys
from pathlib import Path


def _say(path: str, number: int) -> None:
    aside = Path(path).with_suffix(".new")
    aside.write_text(str(number), encoding="ascii")
    aside.replace(path)


def main() -> None:
    """Serves until it is killed: a greeting to each who asks."""
    certificate, key, port, pid = sys.argv[1:5]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def reload(*_: object) -> None:
        # What cannot be loaded leaves the certificate of before in force.
        with contextlib.suppress(OSError):
            context.load_cert_chain(certificate, key)

    signal.signal(signal.SIGHUP, reload)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        _say(port, listening.getsockname()[1])
        _say(pid, os.getpid())
        while True:
            connection, _ = listening.accept()
            connection.settimeout(2)
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                secure.sendall(b"hello\n")
            connection.close()


if __name__ == "__main__":
    main()
