"""Were we right?

In: how an incident ended, and what was predicted before. Out: the outcome, whether it counts for its playbook, and how
well confidence fits what came true. Never: changes a playbook or a limit.
"""
