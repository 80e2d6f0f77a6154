"""The outside world: a folder a port, a file a vendor."""
