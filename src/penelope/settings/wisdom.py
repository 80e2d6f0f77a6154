"""Settings of the wisdom base."""

from pydantic import Field

from penelope.settings.section import Count, Seconds, Section


class Wisdom(Section):
    """Past cases, as decisions and people look for them."""

    meaning: bool = True
    """Whether past cases are also found by meaning. That takes 170 MB of memory once a first text was embedded, and
    about 6 ms of processor time a text; without it they are found by structure and by words."""

    patience_seconds: Seconds = 0.05
    """How long, in seconds, a decision waits for the meaning of its incident before it goes on without."""

    leaned_on: int = Field(default=5, ge=1, le=20)
    """The most past cases that a decision lists."""

    most_cases: Count = 50_000
    """The past cases that can be found by words and meaning: those that were taken in last, kept in memory. Fewer where
    they have more than 64 words each."""

    refresh_seconds: Seconds = 15
    """How often, in seconds, cases are looked for that other workers have added."""

    max_import: Count = 10_000
    """The most past incidents in one request; the command line splits longer files."""
