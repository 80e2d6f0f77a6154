"""Settings of benchmarks."""

from penelope.settings.section import Count, Seconds, Section


class Benchmark(Section):
    """How a service is held against its own past."""

    looks: Count = 3
    """How often a figure that is bad, or could not be seen, is looked at: it is bad only if it is each time."""

    pause_seconds: Seconds = 1.0
    """The time, in seconds, between two looks."""

    patience_seconds: Seconds = 15.0
    """The time, in seconds, after which a run looks no further."""

    baseline_seconds: Seconds = 3600
    """How often, in seconds, each service that declares benchmarks and is verified to be healthy is measured for its
    baselines."""
