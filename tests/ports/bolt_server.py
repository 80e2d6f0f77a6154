"""Runs ArcadeDB, a real server that speaks Bolt, in a process of its own until its standard input ends."""

import socket
import sys

import arcadedb_embedded

USER, DATABASE = "root", "things"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    folder, password = sys.argv[1:]
    bolt = free_port()
    server = arcadedb_embedded.create_server(
        folder,
        password,
        config={
            "host": "127.0.0.1",
            "http_port": free_port(),
            "bolt_port": bolt,
            "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
            "mode": "production",
        },
    )
    server.start()
    server.create_database(DATABASE)
    print(f"listens at {bolt}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
