"""A program that appends a line to its log again and again; started by its path, with the log's."""

import os
import sys
import time


def main() -> None:
    """Writes until it is killed."""
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    number = 0
    while True:
        os.write(log, f"{number:08d} a request was served\n".encode())
        number += 1
        time.sleep(0.02)


if __name__ == "__main__":
    main()
