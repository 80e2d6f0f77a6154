"""Is the new one as good?

In: the spec of a canary, what was remembered of it and the figures of both arms. Out: promote, hold or roll back,
with reasons. Never: waits, moves traffic or reads metrics (flow/canary.py does); it is pure.

`assess` judges by sequential tests (`eprocess`, `evidence`), `foresight` says beforehand how long that takes,
`tempering` learns how noisy a service is (`lesson` look by look, in a `calibrating` rollout), and `kayenta` is the
judge for those who come from there, which `horizon` asks once an interval. `run` is the first judge, by thresholds.
"""
