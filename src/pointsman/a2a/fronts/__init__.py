"""Clients of both versions, over both bindings, at one address for each agent.

The nouns, in the order in which a request meets them:

- :class:`~pointsman.a2a.fronts.entry.Fronts` is the door: JSON-RPC or REST, as the path says;
- :mod:`~pointsman.a2a.fronts.versions` tells which version a client speaks, and what else its headers say;
- :mod:`~pointsman.a2a.fronts.jsonrpc` and :mod:`~pointsman.a2a.fronts.rest` read what is asked, and are the
  :class:`~pointsman.a2a.fronts.streams.Form` in which it is answered;
- :class:`~pointsman.a2a.fronts.streams.Stream` tells the events of an agent as they come.
"""
