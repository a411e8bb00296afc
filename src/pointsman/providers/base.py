"""The nouns of this package: vendor, dialect, deployment, and what a codec turns a request into."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from pointsman.wire.identity import Identity
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
    details: PriceDetails | None = None
    """``None`` when no kind of token has a price of its own besides these."""


class PriceDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Prices of tokens that not every model has; where one is ``None``, such tokens cost what others do."""

    cache_write_usd_per_token: Decimal | None = None
    cache_write_1h_usd_per_token: Decimal | None = None
    """For input that is kept for an hour; without it, as for other input that is kept."""
    reasoning_usd_per_token: Decimal | None = None
    audio_input_usd_per_token: Decimal | None = None
    audio_output_usd_per_token: Decimal | None = None
    image_input_usd_per_token: Decimal | None = None
    image_output_usd_per_token: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    """The longest first."""


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """What everything costs in a request with more than ``above`` tokens of input."""

    above: int
    price: Price


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


KnownModels: TypeAlias = Mapping[str, Mapping[str, ModelFacts]]
"""What is known, by the vendor's name and then by what the vendor calls the model."""


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
    renames: dict[str, str] = {}
    """Fields of a chat's body that the vendor knows by another name; a field that has that name already goes before."""
    drops: frozenset[str] = frozenset()
    """OpenAI's fields of a chat's body that the vendor answers with an error."""
    message_drops: frozenset[str] = frozenset()
    """Members of messages that the vendor answers with an error: what other vendors, and we, add to their answers."""
    tool_id: str | None = None
    """The pattern that ids of tool calls must match as a whole."""
    has_developer_role: bool = False
    """Whether it takes messages of the developer; elsewhere those are the system's."""
    has_responses: bool = False
    """Whether it has ``/responses`` beside ``/chat/completions``."""
    cloud: str | None = None
    """Whose addresses and credentials it has, by a name of :mod:`pointsman.providers.clouds`; the dialect is then that
    of the model."""


class VendorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the addresses of a cloud are made of."""

    api_version: str | None = None
    project: str | None = None
    location: str | None = None
    region: str | None = None


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
    options: VendorOptions = VendorOptions()
    identity: Identity | None = None
    """Who the gateway is to a cloud, where there is no ``credential``."""
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
    region: str | None = None
    """Where it answers, in lower case, as its provider or the operator names the place; ``None``: not known."""
    max_parallel_requests: int | None = None
    num_retries: int | None = None
    cooldown_time: float | None = None
    drains_on_disconnect: bool | None = None
    """Whether an answer is read to its end when the client has left; ``None``: as the operator has set for all."""
    min_chars_per_second: float | None = None
    lacks: frozenset[str] = frozenset()
    """What the model is known not to take: ``tools``, ``images``, ``json``."""
    drops_params: bool = False
    """Whether translation may leave out what the model cannot take."""
    dropped_params: tuple[str, ...] = ()
    """``additional_drop_params``: left out always."""
    allowed_params: tuple[str, ...] = ()
    """``allowed_openai_params``: sent by their OpenAI name whatever the dialect says."""
    merges_reasoning: bool = False
    """Whether reasoning is given to clients within the text, in ``<think>`` tags."""
    runs_batches: bool = False
    """Whether batches for it are run by the provider, whole, where that can be."""
    mock_response: str | None = None
    arguments: dict[str, Any] = {}
    """Of a provider that LiteLLM serves: what it is given with each call, besides the credential and the headers."""
    info: dict[str, Any] = {}
    """``model_info`` as the document has it, for listings."""
