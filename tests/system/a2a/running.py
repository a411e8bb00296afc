"""The agents of the tests as processes."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from system.a2a.installing import FOLDER, legacy_python
from system.running import free_port, process

Kind = Literal["modern", "compat", "legacy"]
"""Of version 1.0, of both, of 0.3."""


@dataclass(frozen=True)
class Agent:
    """One that runs."""

    kind: Kind
    port: int
    home: Path

    @property
    def url(self) -> str:
        """Where it is; JSON-RPC at the root, REST at ``/rest``."""
        return f"http://127.0.0.1:{self.port}"

    def release(self) -> None:
        """Let go what it holds."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/release", method="POST"), timeout=10):
            pass


def command(kind: Kind, port: int, *options: str) -> list[str]:
    """How it is started."""
    script = "legacy" if kind == "legacy" else "modern"
    python = legacy_python() if kind == "legacy" else Path(sys.executable)
    compat = ["--compat"] if kind == "compat" else []
    return [str(python), str(FOLDER / "servers" / f"{script}.py"), str(port), *compat, *options]


@contextmanager
def running_agent(kind: Kind, home: Path, *options: str) -> Iterator[Agent]:
    """An agent, until the block ends."""
    port = free_port()
    with process(command(kind, port, *options), home / f"{kind}-{port}.log", port):
        yield Agent(kind, port, home)
