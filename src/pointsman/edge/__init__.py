"""Downstream HTTP: who calls us.

The nouns, in the order in which a request meets them:

- :class:`~pointsman.edge.loop.EagerLoop` accepts connections, all that wait at once;
- :class:`~pointsman.edge.server.Connection` reads heads and bodies off one socket, strictly;
- :class:`~pointsman.edge.exchange.Exchange` is one request and its reply; handlers see nothing else of the socket;
- :mod:`~pointsman.edge.table` says which function answers which path;
- :mod:`~pointsman.edge.reply` turns every failure into the reply that the caller's dialect expects;
- :class:`~pointsman.edge.gateway.Gateway` runs one exchange through all of this.

The core does not know its server: it needs only an ``Exchange``.
"""
