"""How much a batch may hold."""

from __future__ import annotations

import msgspec


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of batches; sizes in bytes."""

    max_requests: int = 50_000
    """Lines of an input file."""
    max_input_bytes: int = 200 << 20
    """Of an input file."""
    max_line_bytes: int = 1 << 20
    """Of one line."""
    max_errors: int = 100
    """That are told of an input file; then it is read no further."""
    max_message_requests: int = 100_000
    """Of a batch that is made as Anthropic has it."""
    max_message_bytes: int = 256 << 20
    """The same, of its body."""
    max_open: int = 500
    """Batches of a user, or of a key without one, that have not ended."""
    max_concurrency: int = 128
    """Lines that one process runs at a time, when nobody else wants anything of it."""
    lease_seconds: float = 45.0
    """After which others go on with what somebody was doing of whom nothing is heard any more."""
