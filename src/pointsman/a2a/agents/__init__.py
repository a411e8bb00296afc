"""The agents that are called: each a :class:`~pointsman.a2a.agents.remote.RemoteAgent`.

``choosing`` puts the interfaces of a card into the order in which they are tried, and keeps which of them were no good.
``places`` knows the agent's addresses, and what may be sent to each. ``exchanges`` asks at one of them in one way, in
one of the bindings ``jsonrpc`` and ``rest``, which write requests and read answers. ``streams`` reads a stream of
events, ``telling`` keeps what a client was told by it, and ``following`` goes on where one was cut.
"""
