"""Puts the calendars on their shelf, and has them renewed."""

from contextlib import AsyncExitStack

from penelope.adapters.calendars.shelf import Shelf
from penelope.bootstrap.background import background
from penelope.kit.clock import Clock
from penelope.rooms.gate.ports import Calendars
from penelope.settings import Settings


async def calendars_of(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Calendars:
    """Raises BadSettings where a file cannot be read; an address may be fetched later."""
    shelf = Shelf(settings.rest.calendars, settings.rest.cache, clock)
    await background(stack, shelf.run(settings.rest.refresh_seconds))
    return shelf
