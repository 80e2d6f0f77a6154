"""Is the decision a good one?

In: a case and the decision over it. Out: the decision with each article weighed; one that breaks an article which
forbids is handed to people. Never: makes a decision bolder than it was.
"""
