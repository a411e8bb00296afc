"""Providers that run whole batches, each by its own API.

``base`` is what is asked of any of them, ``http`` how it is asked, ``openai`` and ``anthropic`` are the two that there
are, and ``table`` says which deployment has which.
"""
