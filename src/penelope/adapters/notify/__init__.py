"""Channels on which people are told and asked."""
