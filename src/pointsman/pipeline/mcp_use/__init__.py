"""MCP servers that a client names among the ``tools`` of its request: the gateway calls them, and the model on.

- :mod:`~pointsman.pipeline.mcp_use.entries` reads which of the tools are servers of this gateway;
- :mod:`~pointsman.pipeline.mcp_use.offers` makes functions for the model of what they have;
- :mod:`~pointsman.pipeline.mcp_use.chat` and :mod:`~pointsman.pipeline.mcp_use.responses` put several answers of a
  model together as one, each in the words of its API;
- :mod:`~pointsman.pipeline.mcp_use.serving` asks models and calls tools in turn, within limits.

Every round is a call like any other: planned, attempted, retried, metered. Nothing of this is loaded before a request
names a server.
"""
