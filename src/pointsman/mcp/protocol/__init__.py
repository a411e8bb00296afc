"""What the revisions of MCP say, as values: nothing here waits, reads a clock or opens a connection."""
