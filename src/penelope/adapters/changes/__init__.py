"""Readers of what changed lately on a target."""
