"""Keys that sign the log's checkpoints, and what was signed last, kept outside of the database."""
