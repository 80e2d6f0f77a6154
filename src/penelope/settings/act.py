"""How actions are carried out."""

from pathlib import Path

from penelope.settings.section import Location, Section


class Act(Section):
    """How actions are carried out, and where what they change is kept."""

    keep: Location = Path("var/keep")
    """The private folder where adapters keep what is too large for history: files before they are changed. Where
    several workers share a database they share this folder too."""
