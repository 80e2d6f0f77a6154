"""Free TCP ports."""

import socket
from contextlib import ExitStack, closing


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; all are held until all are found, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
