"""Governed measures: models in Cube's YAML, answered on this machine or by Cube itself."""
