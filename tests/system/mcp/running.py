"""The MCP servers of the tests as processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from system.mcp.installing import FOLDER, everything, venv
from system.running import free_port, process

Everything = Literal["dual", "legacy", "modern"]
Side = Literal["legacy", "modern"]
Wire = Literal["streamable-http", "sse", "stdio"]


@contextmanager
def running_everything(kind: Everything, home: Path) -> Iterator[str]:
    """The address of the conformance server: of both eras, or of one."""
    port = free_port()
    line: Literal["1", "2"] = "1" if kind == "legacy" else "2"
    python, source = str(venv(f"sdk-{line}")), str(everything(line))
    command = [python, "-m", "mcp_everything_server", "--port", str(port), "--log-level", "WARNING"]
    if kind == "modern":
        command = [python, str(FOLDER / "servers" / "modern_only.py"), str(port)]
    with process(command, home / f"{kind}.log", port, {"PYTHONPATH": source}):
        yield f"http://127.0.0.1:{port}/mcp"


def bridge_command(side: Side, wire: Wire, port: int) -> list[str]:
    """How the server is started that asks its clients everything."""
    python = venv("sdk-1" if side == "legacy" else "sdk-2")
    return [str(python), str(FOLDER / "servers" / f"bridge_{side}.py"), wire, str(port)]


@contextmanager
def running_bridge(side: Side, wire: Literal["streamable-http", "sse"], home: Path) -> Iterator[str]:
    """The address of that server."""
    port = free_port()
    with process(bridge_command(side, wire, port), home / f"bridge-{side}-{wire}.log", port):
        yield f"http://127.0.0.1:{port}/{'sse' if wire == 'sse' else 'mcp'}"
