"""Clients of every revision, at one address.

The nouns, in the order in which a request meets them:

- :class:`~pointsman.mcp.fronts.entry.Fronts` tells of which era a request is;
- :class:`~pointsman.mcp.fronts.legacy.LegacyFront` knows sessions, :class:`~pointsman.mcp.fronts.modern.ModernFront`
  knows none, and :class:`~pointsman.mcp.fronts.sse.SseFront` is for those that are older than either;
- :class:`~pointsman.mcp.fronts.streams.Answering` is the reply to one request, which becomes a stream of events when
  something is to be said before the answer;
- :class:`~pointsman.mcp.fronts.parking.Parking` holds the calls that wait until a modern client comes again with what
  a legacy server has asked for.
"""
