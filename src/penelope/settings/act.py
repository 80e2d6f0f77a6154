"""How actions are carried out."""

from pathlib import Path

from penelope.settings.section import Count, Location, Seconds, Section


class Act(Section):
    """How actions are carried out: how many at once, and where what they change is kept."""

    pool: Count = 6
    """The most actions under way at once in one process."""

    shard_pool: Count = 6
    """The most actions under way at once, over all processes, on services of one shard (`shard` in the catalogue), so
    that trouble in one domain leaves places for the others."""

    queue_poll_seconds: Seconds = 0.25
    """How often, in seconds, a process looks for actions that wait for a place, and for the ends of its own that another
    process carries out. Where all happens in one process nobody waits for a look."""

    heartbeat_seconds: Seconds = 5.0
    """How often, in seconds, an action under way shows that it is alive, and is cut short where a halt forbids it."""

    keep: Location = Path("var/keep")
    """The private folder where adapters keep what is too large for history: files before they are changed. Where
    several workers share a database they share this folder too."""
