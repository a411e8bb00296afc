"""FastMCP's proxy, run in an environment of its own: python -P bench/mcp_proxy.py UPSTREAM PORT."""

# mypy: ignore-errors
# It is not in the environment that is checked.

import sys

from fastmcp.server import create_proxy

create_proxy(sys.argv[1]).run(transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False)
