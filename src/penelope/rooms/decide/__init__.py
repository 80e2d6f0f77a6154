"""Should we act?

In: an incident, its service, the evidence, the candidate plan, and the past: how long such incidents lasted, what the
playbook's uses came to. Out: observe, intervene or escalate, with risk, cost and confidence as sums of named
contributions, a rationale, and what a person needs to take over. Never: asks the outside world or keeps state; the
same facts give the same decision, bit by bit.
"""
