"""The shipped example: a shop, its warehouse with data models, its graph and documents, to try questions on at once."""

from pathlib import Path

MODELS = Path(__file__).resolve().parent / "model"
"""The folder of the shop's data models, in Cube's YAML."""
