"""Ids of tasks, as clients have them.

A server that many share tells their tasks apart by nothing but the id. So there each goes to its client with a seal, by
which it is known again that it was given to him; in the names of several servers it tells the server as well.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

SEPARATOR: Final = ":"
SEAL: Final = "~"
SEAL_DIGITS: Final = 24


class Seals:
    """Tells whose a task is."""

    def __init__(self, secret: bytes) -> None:
        """All processes that serve the same clients have the same secret."""
        self._key = sha256(b"pointsman mcp tasks\0" + secret).digest()

    def sealed(self, task: str, server: str, caller: str) -> str:
        """The id for the caller whose task it is."""
        return f"{task}{SEAL}{self._seal(task, server, caller)}"

    def opened(self, told: str, server: str, caller: str) -> str | None:
        """The id for the server; ``None``: the caller was not given it."""
        task, _, seal = told.rpartition(SEAL)
        return task if hmac.compare_digest(self._seal(task, server, caller).encode(), seal.encode()) else None

    def _seal(self, task: str, server: str, caller: str) -> str:
        content = f"{server}\0{caller}\0{task}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, content, "sha256").hex()[:SEAL_DIGITS]


def placed(task: str, server: str) -> str:
    """The id where there are several servers."""
    return f"{server}{SEPARATOR}{task}"


def parted(told: str) -> tuple[str, str]:
    """The server, and the id without it."""
    server, _, task = told.partition(SEPARATOR)
    return server, task
