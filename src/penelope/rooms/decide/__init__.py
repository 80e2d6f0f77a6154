"""Should we act?

In: an incident, its service, the evidence, the candidate plan and the precedents. Out: observe, intervene or
escalate, with risk and confidence as sums of named contributions and a rationale. Never: asks the outside
world or keeps state; the same input gives the same decision, bit by bit.
"""
