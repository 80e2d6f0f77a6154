"""Texts as vectors, and the memory in which the nearest ones are found."""
