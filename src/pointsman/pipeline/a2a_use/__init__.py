"""Agents that are asked like models: ``a2a/<agent>`` in any API that is a conversation.

- :mod:`~pointsman.pipeline.a2a_use.asked` makes a message for the agent of a conversation;
- :mod:`~pointsman.pipeline.a2a_use.telling` makes an answer of a model of what the agent says;
- :mod:`~pointsman.pipeline.a2a_use.serving` asks, as the client would ask the agent itself.

Who may ask, limits, costs and whose tasks there are, is for the gateway of agents to say. Nothing of this is loaded
before a request names an agent.
"""
