"""What happened?

In: signals that a source adapter has read. Out: for each, the incident it belongs to (new, known, or ended
by it) or the word that it was seen before. Never: drops a signal silently, or decides what to do about it.
"""
