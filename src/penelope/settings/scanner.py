"""Settings of the scanner."""

from penelope.settings.section import Seconds, Section


class Scanner(Section):
    """What looks through plans for secrets and for commands that no plan should hold, see [the scanner](../scanner.md)."""

    ask_on_warning: bool = False
    """Whether a warning wants the word of a person. What is critical is refused, whoever approves."""

    seconds: Seconds = 0.25
    """How much processor time, in seconds, one scan may take; a plan that needs longer is refused."""
