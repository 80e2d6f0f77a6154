"""Is the new one as good?

In: the spec of a canary, the looks so far and the figures of both arms. Out: promote, hold or roll back,
with reasons. Never: waits, moves traffic or reads metrics (flow/canary.py does); it is pure.
"""
