"""The shop that ships as an example."""
