"""What an operator can set about who may come in."""

from __future__ import annotations

import msgspec

from pointsman.wire.secret import Secret


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who is let in."""

    master_key: Secret | None = None
    """Without one, every caller is the master, and the gateway answers loopback names only."""
    key_header: str | None = None
    """One more header that may carry the key (``litellm_key_header_name``)."""
    is_open_on_purpose: bool = False
    """Whether the operator has said that it may be open beyond loopback: any ``Host`` will do then."""
    is_metrics_public: bool = False
    """Whether ``/metrics`` is served without a key."""
