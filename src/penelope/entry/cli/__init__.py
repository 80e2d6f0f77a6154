"""The command line: a client of a running server, and what an operator does beside it."""
