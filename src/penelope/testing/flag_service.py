"""A small real HTTP service for worlds, run as a script: it asks the OpenFeature SDK, with flagd's file provider, whether
its new checkout is on, and fails while it is.
"""

import argparse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FLAG = "new-checkout"


def main() -> None:
    # Loaded here: a world imports this module for the flag's name only.
    from openfeature import api  # noqa: PLC0415 - see above
    from openfeature.contrib.provider.flagd import FlagdProvider  # noqa: PLC0415 - see above
    from openfeature.contrib.provider.flagd.config import ResolverType  # noqa: PLC0415 - see above

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--flags", type=Path, required=True)
    given = parser.parse_args()
    # The provider looks at the file once a deadline.
    provider = FlagdProvider(
        resolver_type=ResolverType.FILE, offline_flag_source_path=str(given.flags), deadline_ms=100
    )
    api.set_provider(provider)
    client = api.get_client()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            broken = client.get_boolean_value(FLAG, False)
            self.send_response(500 if broken else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
