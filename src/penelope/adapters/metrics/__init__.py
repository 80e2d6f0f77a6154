"""Where a service's figures are read from, a file a source."""
