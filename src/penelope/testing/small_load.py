"""Customers for worlds, run as a script: so many requests a second, whether or not the last ones were answered."""

import argparse
import contextlib
import threading
import time
import urllib.error
import urllib.request

_PATIENCE_SECONDS = 5.0


def ask(url: str) -> None:
    with (
        contextlib.suppress(OSError, urllib.error.HTTPError),
        urllib.request.urlopen(  # noqa: S310 - a world's own
            url, timeout=_PATIENCE_SECONDS
        ) as answer,
    ):
        answer.read()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, required=True)
    given = parser.parse_args()
    due = time.monotonic()
    while True:
        threading.Thread(target=ask, args=(given.url,), daemon=True).start()
        due = max(due + 1 / given.rate, time.monotonic() - 1)
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
