"""Settings of the rule that looks upstream."""

from penelope.settings.section import Seconds, Section


class Dependency(Section):
    """What happens while a service is broken that the service of an incident depends on."""

    wait_seconds: Seconds = 900
    """How old, in seconds, an incident may become while something upstream has an older one. Then it is escalated, and
    names that one."""

    recheck_seconds: Seconds = 30
    """How often, in seconds, it is looked at again until then."""
