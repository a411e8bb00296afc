"""Models that are published as agents.

- :mod:`~pointsman.a2a.published.asked` makes a conversation of a message;
- :mod:`~pointsman.a2a.published.runs` is one answer while it is made, and who listens to it;
- :mod:`~pointsman.a2a.published.memory` keeps them, as many as there is room for;
- :mod:`~pointsman.a2a.published.model` is the agent.
"""
