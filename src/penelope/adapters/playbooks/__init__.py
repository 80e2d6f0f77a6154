"""Playbooks in YAML: their schema, their linter and the library that is loaded from files."""
