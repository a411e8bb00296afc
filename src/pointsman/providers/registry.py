"""Which vendors there are, and what is publicly known of their models.

Vendors (``compatible.toml``) and models (``prices.json``) are data files beside this module. They are read on
each call and not kept: the caller does that. A price table holds thousands of models of which a gateway serves a few,
so a vendor's part of it is decoded when somebody asks for that vendor.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from pointsman.providers.base import KnownModels, ModelFacts, Price, PriceDetails, Tier, Vendor
from pointsman.wire.operations import Mode

SUPPORTS: Final = {
    "supports_vision": "images",
    "supports_function_calling": "tools",
    "supports_response_schema": "json",
}
"""What a model may lack, by LiteLLM's key of ``model_info`` for it."""

TOKENS: Final = {
    "input": "input_usd_per_token",
    "output": "output_usd_per_token",
    "cached": "cached_input_usd_per_token",
}
"""Our names in ``prices.json`` of what a token costs, and the fields of a price."""
DETAILS: Final = {
    "write": "cache_write_usd_per_token",
    "write_1h": "cache_write_1h_usd_per_token",
    "reasoning": "reasoning_usd_per_token",
    "audio_in": "audio_input_usd_per_token",
    "audio_out": "audio_output_usd_per_token",
    "image_in": "image_input_usd_per_token",
    "image_out": "image_output_usd_per_token",
}
"""The same of tokens that not every model has."""
UNITS: Final = {
    "query": "usd_per_query",
    "image": "usd_per_image",
    "second": "usd_per_second",
    "character": "usd_per_character",
}
"""The same of what is not tokens."""

_PER_MILLION: Final = frozenset(TOKENS) | frozenset(DETAILS)
_PRICES: Final = (*TOKENS, *DETAILS, *UNITS)
_NO_DETAILS: Final = PriceDetails()
_SAME_MODELS: Final = {
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "ollama_chat": "ollama",
    "vertex_ai_beta": "vertex_ai",
}
"""Vendors that are another name of one whose models are known."""


class _VendorEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of ``compatible.toml``, which explains the fields."""

    dialect: str = "openai"
    base_url: str | None = None
    key_env: tuple[str, ...] = ()
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    needs_key: bool = True
    renames: dict[str, str] = {}
    drops: frozenset[str] = frozenset()
    message_drops: frozenset[str] = frozenset()
    tool_id: str | None = None
    has_developer_role: bool = False
    has_responses: bool = False
    cloud: str | None = None

    def vendor(self, name: str) -> Vendor:
        return Vendor(name=name, **msgspec.structs.asdict(self))


_Tokens = Annotated[int, msgspec.Meta(ge=1)]


class TierEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What tokens of one model cost when there are more than ``above`` of input."""

    above: _Tokens
    input: Decimal | None = None
    output: Decimal | None = None
    cached: Decimal | None = None
    write: Decimal | None = None
    write_1h: Decimal | None = None


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One model of a price table; absent is unknown."""

    mode: Mode = "chat"
    context: _Tokens | None = None
    """Tokens that fit in."""
    reply: _Tokens | None = None
    """Tokens that can come out."""
    input: Decimal | None = None
    """US dollars per million tokens, as all that follow until ``tiers``."""
    output: Decimal | None = None
    cached: Decimal | None = None
    write: Decimal | None = None
    write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    audio_in: Decimal | None = None
    audio_out: Decimal | None = None
    image_in: Decimal | None = None
    image_out: Decimal | None = None
    tiers: tuple[TierEntry, ...] = ()
    query: Decimal | None = None
    """US dollars for one, as all that follow."""
    image: Decimal | None = None
    second: Decimal | None = None
    character: Decimal | None = None
    lacks: frozenset[Literal["tools", "images", "json"]] = frozenset()
    """What the vendor says that it does not take; nothing is listed on a guess."""

    def facts(self, vendor: str, model: str) -> ModelFacts:
        """What is known of the model ``model`` of ``vendor``."""
        return ModelFacts(
            vendor=vendor,
            model=model,
            mode=self.mode,
            max_input_tokens=self.context,
            max_output_tokens=self.reply,
            price=priced(Price(), _stated(self), {tier.above: _stated(tier) for tier in self.tiers}),
            lacks=self.lacks,
        )


class PriceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price table: ``prices.json``, or an operator's own."""

    as_of: str
    """The day on which it was read, ``YYYY-MM-DD``."""
    source: str
    licence: str
    models: dict[str, dict[str, ModelEntry]]
    """By vendor, and then by what the vendor calls the model."""


class _Raw(msgspec.Struct, frozen=True, kw_only=True):
    as_of: str
    models: dict[str, msgspec.Raw]


class _Lazy(Mapping[str, Mapping[str, ModelFacts]]):
    """A table whose parts are decoded when they are asked for."""

    def __init__(self, parts: dict[str, msgspec.Raw]) -> None:
        self.parts = parts
        self._known: dict[str, dict[str, ModelFacts]] = {}

    def __getitem__(self, vendor: str) -> Mapping[str, ModelFacts]:
        name = _SAME_MODELS.get(vendor, vendor)
        known = self._known.get(name)
        if known is None:
            entries = _ENTRIES.decode(self.parts[name])
            known = self._known[name] = {model: entry.facts(name, model) for model, entry in entries.items()}
        return known

    def __eq__(self, other: object) -> bool:
        # Without decoding anything.
        return isinstance(other, _Lazy) and (self is other or _raw(self.parts) == _raw(other.parts))

    __hash__ = None  # type: ignore[assignment]  # as Python has it for what can be compared

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


def _raw(parts: Mapping[str, msgspec.Raw]) -> dict[str, bytes]:
    return {name: bytes(part) for name, part in parts.items()}


_TABLE: Final = msgspec.json.Decoder(PriceTable)
_PARTS: Final = msgspec.json.Decoder(_Raw)
_ENTRIES: Final = msgspec.json.Decoder(dict[str, ModelEntry])


def load_vendors() -> dict[str, Vendor]:
    """Vendors by the name that ``model: name/model`` uses."""
    return {name: entry.vendor(name) for name, entry in _vendor_entries().items()}


def load_facts(table: bytes | None = None) -> KnownModels:
    """What is known of models, from a table that :func:`read_table` has accepted, or from our own."""
    return _builtin_facts() if table is None else _Lazy(_PARTS.decode(table).models)


@cache
def _builtin_facts() -> KnownModels:
    return _Lazy(_PARTS.decode(builtin_table()).models)


def read_table(text: bytes) -> PriceTable:
    """Check and decode a whole price table.

    Raises:
        msgspec.MsgspecError: it is none; the text says where.

    """
    table = _TABLE.decode(text)
    for vendor, models in table.models.items():
        for model, entry in models.items():
            parts: tuple[ModelEntry | TierEntry, ...] = (entry, *entry.tiers)
            prices = [value for part in parts for value in _stated(part).values()]
            if not all(value.is_finite() and value >= 0 for value in prices):
                raise msgspec.ValidationError(f"a price of {vendor}/{model} is not an amount of money")
    return table


def builtin_table() -> bytes:
    """The price table of this package."""
    return _read("prices.json")


def facts_date() -> str:
    """The day of our own price table, ``YYYY-MM-DD``."""
    return _PARTS.decode(builtin_table()).as_of


def priced(known: Price, stated: Mapping[str, Decimal], tiers: Mapping[int, Mapping[str, Decimal]]) -> Price:
    """``known`` with what is ``stated``, in US dollars for one, by the names of ``prices.json``.

    ``tiers`` are the prices of long prompts, by the tokens above which they hold; what one of them leaves out costs as
    in short ones. The tiers of ``known`` hold only where no token price is stated.
    """
    plain = {field: stated[name] for name, field in (TOKENS | UNITS).items() if name in stated}
    special: dict[str, object] = {field: stated[name] for name, field in DETAILS.items() if name in stated}
    if tiers or not _PER_MILLION.isdisjoint(stated):
        special["tiers"] = ()
    details = msgspec.structs.replace(known.details or _NO_DETAILS, **special)
    price = msgspec.structs.replace(known, **plain, details=None if details == _NO_DETAILS else details)
    if not tiers:
        return price
    levels = tuple(Tier(above=above, price=priced(price, tiers[above], {})) for above in sorted(tiers, reverse=True))
    return msgspec.structs.replace(price, details=msgspec.structs.replace(details, tiers=levels))


def _stated(entry: ModelEntry | TierEntry) -> dict[str, Decimal]:
    """The prices of an entry, in US dollars for one."""
    found = ((name, getattr(entry, name, None)) for name in _PRICES)
    return {name: value.scaleb(-6) if name in _PER_MILLION else value for name, value in found if value is not None}


def api_root(vendor: Vendor, api_base: str) -> str:
    """``api_base`` as a vendor's users write it, made into the address that paths are appended to.

    Trailing slashes go. An address without a path gets the vendor's own path in two cases: it is the vendor's
    own host (``https://api.anthropic.com``), or the vendor is a server that people run themselves
    (``http://gpu-box:11434`` for Ollama). Elsewhere no path means no path, as with LiteLLM.
    """
    base = api_base.rstrip("/")
    given = urlsplit(base)
    if vendor.base_url is None or given.path or not given.netloc:
        return base
    own = urlsplit(vendor.base_url)
    if vendor.needs_key and given.netloc.lower() != own.netloc:
        return base
    return base + own.path


def _vendor_entries() -> dict[str, _VendorEntry]:
    return msgspec.convert(tomllib.loads(_read("compatible.toml").decode()), dict[str, _VendorEntry])


def _read(name: str) -> bytes:
    return resources.files("pointsman.providers").joinpath(name).read_bytes()
