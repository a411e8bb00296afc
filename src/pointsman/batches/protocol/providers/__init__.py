"""A batch in the words of those that run it whole: ``openai`` (which are Azure's too) and ``anthropic``.

``base`` is what is the same for all of them: how far a batch is there, what came of a line, and what that costs.
"""
