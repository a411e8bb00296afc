"""What the pipeline needs of the reply side; the edge's exchange is one."""

from __future__ import annotations

from typing import Protocol

from pointsman.wire.replies import Reply


class Downstream(Reply, Protocol):
    """Takes one whole reply, or a head, pieces and an end."""

    is_settled: bool
    """Set when the outcome has been counted."""

    def cut(self) -> None: ...
