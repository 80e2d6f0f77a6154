"""Secrets in environment variables: ``secret://env/NAME``."""

from collections.abc import Mapping, Sequence

from penelope.adapters.secrets.reference import Reference, missing, plain


class EnvironmentSecrets:
    """Gives only variables whose names begin with one of `prefixes`: a catalogue must not read whatever is there."""

    def __init__(self, environment: Mapping[str, str], prefixes: Sequence[str]) -> None:
        self._environment = environment
        self._prefixes = tuple(prefix for prefix in prefixes if prefix)

    async def read(self, reference: Reference) -> str:
        name = plain(reference).path
        if not name.startswith(self._prefixes):
            allowed = ", ".join(self._prefixes) or "none"
            raise missing(
                reference, f"is not allowed: names may begin with {allowed} (secrets.environment_prefixes)"
            )
        if name not in self._environment:
            raise missing(reference, "names a variable that is not set")
        return self._environment[name]
