"""The story of an incident as a durable workflow, and the one desk that every entrance shares."""
