"""The nouns: immutable values without I/O, and the arithmetic that several rooms share."""
