"""Adapters that change things: one file a kind of target."""
