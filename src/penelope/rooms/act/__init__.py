"""Be able to undo it, then do it.

In: an action and the adapter that can carry it out. Out: a snapshot, an effect, or an error that says
whether the action happened. Never: decides whether to act, judges the result, or repeats what may have
happened already.
"""
