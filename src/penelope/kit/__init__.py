"""Small tools without a domain word: clock, ids, canonical JSON, conversion of values."""
