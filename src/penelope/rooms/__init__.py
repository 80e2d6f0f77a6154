"""One folder a verb; each answers one question, returns values and never imports a sibling."""
