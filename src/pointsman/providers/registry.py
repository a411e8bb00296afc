"""Which vendors there are, and what is publicly known of their models.

Vendors (``compatible.toml``) and models (``prices.json``) are data files beside this module. They are read on
each call and not kept: the caller does that.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from importlib import resources
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from pointsman.providers.base import ModelFacts, Price, Vendor

SUPPORTS: Final = {
    "supports_vision": "images",
    "supports_function_calling": "tools",
    "supports_response_schema": "json",
}
"""What a model may lack, by LiteLLM's key of ``model_info`` for it."""

_MILLION = Decimal(1_000_000)


class _VendorEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of ``compatible.toml``, which explains the fields."""

    dialect: str = "openai"
    base_url: str | None = None
    key_env: tuple[str, ...] = ()
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    needs_key: bool = True

    def vendor(self, name: str) -> Vendor:
        return Vendor(
            name=name,
            dialect=self.dialect,
            base_url=self.base_url,
            key_env=self.key_env,
            key_header=self.key_header,
            key_prefix=self.key_prefix,
            needs_key=self.needs_key,
        )


class _ModelEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of ``prices.json``; absent is unknown."""

    mode: str = "chat"
    context: int | None = None
    """Tokens that fit in."""
    reply: int | None = None
    """Tokens that can come out."""
    input: Decimal | None = None
    """US dollars per million tokens, as the other two; the rest is US dollars for one."""
    output: Decimal | None = None
    cached: Decimal | None = None
    query: Decimal | None = None
    image: Decimal | None = None
    second: Decimal | None = None
    character: Decimal | None = None
    lacks: frozenset[Literal["tools", "images", "json"]] = frozenset()
    """What the vendor says that it does not take; nothing is listed on a guess."""

    def facts(self, vendor: str, model: str) -> ModelFacts:
        return ModelFacts(
            vendor=vendor,
            model=model,
            mode=self.mode,
            max_input_tokens=self.context,
            max_output_tokens=self.reply,
            price=Price(
                input_usd_per_token=_per_token(self.input),
                output_usd_per_token=_per_token(self.output),
                cached_input_usd_per_token=_per_token(self.cached),
                usd_per_query=self.query,
                usd_per_image=self.image,
                usd_per_second=self.second,
                usd_per_character=self.character,
            ),
            lacks=self.lacks,
        )


class _PriceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    as_of: str
    source: str
    models: dict[str, _ModelEntry]


def load_vendors() -> dict[str, Vendor]:
    """Vendors by the name that ``model: name/model`` uses."""
    return {name: entry.vendor(name) for name, entry in _vendor_entries().items()}


def load_facts() -> dict[str, ModelFacts]:
    """What is known of models, by ``vendor/model``; the names after the first ``/`` are the vendor's own."""
    table = _price_table()
    facts: dict[str, ModelFacts] = {}
    for name, entry in table.models.items():
        vendor, _, model = name.partition("/")
        facts[name] = entry.facts(vendor, model)
    return facts


def facts_date() -> str:
    """The day of the price table, ``YYYY-MM-DD``."""
    return _price_table().as_of


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


def _price_table() -> _PriceTable:
    return msgspec.json.decode(_read("prices.json"), type=_PriceTable)


def _per_token(usd_per_million: Decimal | None) -> Decimal | None:
    return None if usd_per_million is None else usd_per_million / _MILLION


def _read(name: str) -> bytes:
    return resources.files("pointsman.providers").joinpath(name).read_bytes()
