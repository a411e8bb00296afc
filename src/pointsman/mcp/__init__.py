"""The MCP gateway: one address for every server, for clients of every revision of the protocol."""
