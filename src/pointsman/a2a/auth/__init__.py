"""How the gateway shows agents who it is.

A key or a token that never changes is a :class:`~pointsman.upstream.credentials.static.Static`; ``client_credentials``
gets tokens as the gateway itself; ``credentials`` says which of them an agent wants. Whatever it is, the registered
addresses of the agent alone get it, never one that a card has named.
"""
