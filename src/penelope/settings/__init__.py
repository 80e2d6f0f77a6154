"""All configuration: one typed, frozen tree, read once at the start and handed on from `bootstrap`."""

from penelope.settings.loading import DEFAULT_FILE, load
from penelope.settings.pages import Described, describe, reference
from penelope.settings.tree import Settings

__all__ = ["DEFAULT_FILE", "Described", "Settings", "describe", "load", "reference"]
