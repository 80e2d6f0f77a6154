"""The shipped example: a shop's warehouse with its data models, to try questions on at once."""

from pathlib import Path

MODELS = Path(__file__).resolve().parent / "model"
"""The folder of the shop's data models, in Cube's YAML."""
