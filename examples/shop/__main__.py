"""Runs the shop until Ctrl-C: ``python -m shop [FOLDER]``."""

import signal
import sys
import tempfile
from pathlib import Path

from shop.world import World


def run(directory: Path) -> None:
    with World(directory) as world:
        print(f"shop        {world.url}")
        for instance, url in world.instance_urls.items():
            print(f"instance {instance}  {url}")
        print(f"traefik     {world.traefik_api}")
        print(f"supervisor  {world.supervisor_url}")
        print(f"folder      {world.directory}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    if len(sys.argv) > 1:
        run(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory(prefix="shop-") as folder:
            run(Path(folder))
