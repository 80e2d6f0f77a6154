"""Puts the calendars on their shelf, and has them renewed."""

from collections.abc import Collection
from contextlib import AsyncExitStack

from penelope.adapters.calendars.shelf import Shelf
from penelope.bootstrap.background import background
from penelope.errors import BadSettings
from penelope.kit.clock import Clock
from penelope.rooms.gate.ports import Calendars
from penelope.settings import Settings


async def calendars_of(
    stack: AsyncExitStack, settings: Settings, services: Collection[str], clock: Clock
) -> Calendars:
    """Raises BadSettings where a file cannot be read, or a service is not among `services`: nobody shall believe that
    it is left alone. An address may be fetched later.
    """
    shelf = Shelf(settings.rest.calendars, settings.rest.cache, clock)
    if strangers := shelf.services - set(services):
        message = f"calendars are for {', '.join(sorted(strangers))}, which the catalogue does not know"
        raise BadSettings(message, hint="Correct the name, or add the service to the catalogue.")
    await background(stack, shelf.run(settings.rest.refresh_seconds))
    return shelf
