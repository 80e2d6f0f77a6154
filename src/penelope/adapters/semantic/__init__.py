"""The semantic layer: governed measures and dimensions, described in Cube's data models."""
