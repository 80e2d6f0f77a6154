"""Where credentials come from, a file a store."""
