"""The entry point that the package installs."""

from penelope.kit.lasting import lasting


def main() -> None:
    """Runs the command `penelope` with the arguments of this process."""
    with lasting():
        from penelope.entry.cli.main import main as command  # noqa: PLC0415 - its modules last

    command()
