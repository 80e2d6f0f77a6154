"""What do we know?

In: a service of the catalogue and the stores that can be asked; or a concept in words and a registry of definitions.
Out: a dossier of evidence, each piece with source, age and confidence, where what could not be seen says so; or the one
definition that a concept means with the question for its value, choices, or no answer. Never: judges.
"""
