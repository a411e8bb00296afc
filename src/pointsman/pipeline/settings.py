"""What an operator can set about serving one request."""

from __future__ import annotations

import msgspec

DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024


class ServingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one request; times in seconds.

    A deployment's own ``timeout`` and ``stream_timeout`` go first.
    """

    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    """Of a request body that is held in memory (``general_settings.max_request_size_mb``)."""
    request_timeout: float | None = None
    """Of a whole answer that is not streamed, and of the first byte of any; ``None``: the upstream's."""
    stream_timeout: float | None = None
    """Of the first byte of a streamed answer; ``None`` means ``request_timeout``."""
