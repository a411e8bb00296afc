"""How the gateway shows MCP servers who it is, or for whom it asks.

``static`` has a key or a token that never changes; ``client_credentials`` gets tokens as the gateway itself;
``authorization_code`` has one for each user who has signed in. Where a user has not, the call fails with a link
(:class:`~pointsman.errors.SignInNeeded`), which leads through ``signing_in``: the user's browser is sent to the
authorization server and comes back with a code, which is exchanged for tokens.

``discovery`` finds out who gives tokens for a server, ``clients`` makes the gateway known there, ``vault`` keeps what
was got: sealed, in the store. ``web`` asks authorization servers over guarded pools, so that what servers say cannot
make the gateway call addresses that only it can reach.
"""
