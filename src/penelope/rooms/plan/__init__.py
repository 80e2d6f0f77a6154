"""What exactly would we do?

In: an incident, its service, the evidence and the playbooks. Out: the playbook that fits and a plan with
every parameter bound, or the reasons why there is none. Never: runs anything, or asks the outside world.
"""
