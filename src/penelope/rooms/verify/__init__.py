"""Did it do what it said?

In: a contract and the eyes to look with. Out: a verdict over what was seen now. Never: waits (flow does),
acts, or takes a missing observation for a good one.
"""
