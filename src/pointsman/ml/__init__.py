"""Learned routing: what each model will make of a prompt, and at what cost.

Thinking code on numpy: texts and tables in, arrays out. Training and what it reads from disk is in ``ml.training``,
which nothing on the serving path imports.
"""
