"""What an operator can set about serving one request."""

from __future__ import annotations

import msgspec

DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which answers are kept, and how long (``cache_params``)."""

    ttl: float = 600.0
    is_opt_in: bool = False
    """Whether only requests that ask for it use the cache (``mode: default_off``)."""
    operations: tuple[str, ...] = ("chat", "text_completion", "embeddings", "rerank", "moderation", "responses")
    """Names of :mod:`pointsman.wire.operations`."""
    namespace: str = ""
    max_bytes: int = 64 * 1024 * 1024


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
    total_timeout: float = 6000.0
    """Of a request with all its attempts."""
    drains_on_disconnect: bool = False
    """Whether an answer is read to its end for its usage when the client has left, instead of being cancelled."""
    min_chars_per_second: float | None = None
    """Output of a stream is held until it has proven to be so quick; a slower one is given to another deployment."""
    queue_timeout: float | None = None
    """How long a request may wait for a deployment at its limit; ``None``: 5 s, and 5 ms at a limit that was found."""
    max_in_flight: int | None = None
    """Requests that this process serves at a time; one more is refused."""
    cache: CacheSettings | None = None
    allows_mock_testing: bool = False
    """Whether callers may let the first attempt fail (``mock_testing_fallbacks``)."""
    has_config_header: bool = False
    """Whether replies tell which snapshot of the config has answered (``x-pointsman-config``)."""
    drops_params: bool = False
    """Whether parameters that a model cannot take are left out instead of refusing the request."""
