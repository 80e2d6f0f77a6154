"""Witnesses of the log, a file a protocol."""
