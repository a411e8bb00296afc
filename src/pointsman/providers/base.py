"""The nouns of this package: vendor, dialect, deployment, and what a codec turns a request into."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from pointsman.wire.secret import Secret


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs, in US dollars; ``None`` is unknown, which is not free."""

    input_usd_per_token: Decimal | None = None
    output_usd_per_token: Decimal | None = None
    cached_input_usd_per_token: Decimal | None = None
    usd_per_query: Decimal | None = None
    usd_per_image: Decimal | None = None
    usd_per_second: Decimal | None = None
    usd_per_character: Decimal | None = None


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is publicly known of a vendor's model."""

    vendor: str
    model: str
    mode: str = "chat"
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    price: Price = Price()
    lacks: frozenset[str] = frozenset()
    """What it does not take, of ``tools``, ``images`` and ``json``; what is not here may or may not be taken."""


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """Whom we call: where they live, which dialect they speak, and how they take a key."""

    name: str
    dialect: str = "openai"
    base_url: str | None = None
    """Without a trailing slash; ``None`` when each deployment must give ``api_base``."""
    key_env: tuple[str, ...] = ()
    """Environment variables that hold a key, first one that is set wins."""
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    needs_key: bool = True


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``model_list``: provider, upstream model, address, credential and limits."""

    id: str
    model_name: str
    """The public name, possibly a pattern with one ``*``."""
    vendor: Vendor
    upstream_model: str
    """What the upstream calls it, without the ``provider/`` prefix; a ``*`` takes what the pattern matched."""
    base_url: str
    """Where the operation's path is appended; no trailing slash."""
    credential: Secret | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """``extra_headers`` and ``organization``, sent with each request."""
    defaults: dict[str, Any] = {}
    """Body fields set when the caller left them out (``temperature: 0`` in ``litellm_params``)."""
    overrides: dict[str, Any] = {}
    """``extra_body``: body fields set whatever the caller said."""
    mode: str | None = None
    weight: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    order: int = 1
    timeout: float | None = None
    stream_timeout: float | None = None
    price: Price = Price()
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    tags: tuple[str, ...] = ()
    max_parallel_requests: int | None = None
    num_retries: int | None = None
    cooldown_time: float | None = None
    drains_on_disconnect: bool | None = None
    """Whether an answer is read to its end when the client has left; ``None``: as the operator has set for all."""
    min_chars_per_second: float | None = None
    lacks: frozenset[str] = frozenset()
    """What the model is known not to take: ``tools``, ``images``, ``json``."""
    mock_response: str | None = None
    info: dict[str, Any] = {}
    """``model_info`` as the document has it, for listings."""
