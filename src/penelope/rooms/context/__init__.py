"""What do we know?

In: a service of the catalogue and the stores that can be asked. Out: a dossier of evidence, each piece
with source, age and confidence; what could not be seen is in it too, and says so. Never: judges.
"""
