"""May we do it now?

In: a plan, the decision and what happened lately. Out: the verdict of every rule in the declared order.
Never: acts, or passes where its input is missing.
"""
