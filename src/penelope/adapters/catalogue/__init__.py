"""The service catalogue in YAML: its schema and its loader."""
