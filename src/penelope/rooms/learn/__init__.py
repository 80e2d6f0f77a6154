"""Were we right?

In: an outcome and what is known of its playbook. Out: the playbook's record with the outcome counted in.
Never: changes a playbook or a limit.
"""
