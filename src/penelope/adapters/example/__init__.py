"""The shipped example: a shop, its warehouse with data models, its graph and documents, to try questions on at once."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

MODELS = _HERE / "model"
"""The folder of the shop's data models, in Cube's YAML."""

DOCUMENTS = _HERE / "documents"
"""The folder of its guides and runbooks."""

GRAPH = _HERE / "graph.yaml"
"""Its things and what they have to do with each other."""
