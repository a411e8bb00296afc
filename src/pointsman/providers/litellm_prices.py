"""LiteLLM's public price map, and its names of prices in a config, as ours.

The map is ``model_prices_and_context_window.json``: one flat object of models, with prices in US dollars for one token.
What it says of batches, priority, grounding and sessions has no place here and is left out, as are models that can be
asked for nothing that the gateway serves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, get_args

import msgspec

from pointsman.providers.registry import ModelEntry, PriceTable, TierEntry
from pointsman.wire.operations import Mode

TOKEN_COSTS: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "write",
    "cache_creation_input_token_cost_above_1hr": "write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_in",
    "output_cost_per_audio_token": "audio_out",
    "input_cost_per_image_token": "image_in",
    "output_cost_per_image_token": "image_out",
}
"""LiteLLM's names of what a token costs, and ours in ``prices.json``."""
UNIT_COSTS: Final = {
    "input_cost_per_query": "query",
    "output_cost_per_image": "image",
    "input_cost_per_image": "image",
    "input_cost_per_second": "second",
    "output_cost_per_second": "second",
    "input_cost_per_character": "character",
}
"""The same of what is not tokens; of two names of one price the first that is there counts."""
TIERED_COSTS: Final = tuple(TOKEN_COSTS)[:5]
"""Those of them that may differ for long prompts."""
TIERS: Final = (100, 128, 200, 256, 272, 512)
"""Thousands of tokens above which prices of long prompts are stated."""

_VENDORS: Final = {"azure_text": "azure", "bedrock_converse": "bedrock", "cohere_chat": "cohere"}
_FAMILIES: Final = ("vertex_ai-", "fireworks_ai-")
_MODES: Final = {mode: mode for mode in get_args(Mode)} | {"image_edit": "image_generation"}
_COUNTED: Final = {"rerank": "query", "image_generation": "image", "audio_transcription": "second",
                   "audio_speech": "character"}  # fmt: skip
"""What besides tokens is sold in each mode."""
_WITHOUT_OUTPUT: Final = frozenset({"embedding", "rerank"})
_USUAL: Final = (
    ("write", "input"),
    ("write_1h", "write"),
    ("reasoning", "output"),
    ("audio_in", "input"),
    ("audio_out", "output"),
    ("image_in", "input"),
    ("image_out", "output"),
)
_ABOVE: Final = "_above_"
_SIZE: Final = re.compile(r"\d+-x-\d+|^max-x-max")
"""Sizes and qualities of images stand before the model: ``low/1024-x-1024/name``."""
_DIGITS: Final = 12
"""Significant digits of a price; more are the noise of a binary fraction."""
_MAP: Final = msgspec.json.Decoder(dict[str, dict[str, Any]], float_hook=Decimal)
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def tier_name(cost: str, thousands: int) -> str:
    """LiteLLM's name of a price that holds above so many thousand tokens of input."""
    return f"{cost}{_ABOVE}{thousands}k_tokens"


def stated_costs(values: Mapping[str, Any]) -> dict[str, Decimal]:
    """The prices among ``values``, by our names, for one."""
    found: dict[str, Decimal] = {}
    for name, ours in (TOKEN_COSTS | UNIT_COSTS).items():
        if name in values:
            found.setdefault(ours, values[name])
    return found


def stated_tiers(values: Mapping[str, Any]) -> dict[int, dict[str, Decimal]]:
    """The prices of long prompts among ``values``, by the tokens above which they hold."""
    tiers: dict[int, dict[str, Decimal]] = {}
    if not any(_ABOVE in name for name in values):
        return tiers
    for thousands in TIERS:
        named = {TOKEN_COSTS[cost]: values.get(tier_name(cost, thousands)) for cost in TIERED_COSTS}
        tier = {name: value for name, value in named.items() if value is not None}
        if tier:
            tiers[thousands * 1000] = tier
    return tiers


def convert(text: bytes, *, as_of: str, source: str) -> PriceTable:
    """LiteLLM's map as a price table of ours.

    Raises:
        msgspec.MsgspecError: ``text`` is no such map.

    """
    models: dict[str, dict[str, ModelEntry]] = {}
    for key, raw in _MAP.decode(text).items():
        name, entry = _name(key, raw.get("litellm_provider")), _entry(raw)
        if name is not None and entry is not None:
            models.setdefault(name[0], {}).setdefault(name[1], entry)
    licence = "MIT, Copyright (c) 2023 Berri AI"
    return PriceTable(as_of=as_of, source=source, licence=licence, models=models)


def encode_table(table: PriceTable) -> bytes:
    """A price table as the text of its file: one line for each model, vendors and models in order."""
    head = [f'  "{name}": {_encode(getattr(table, name)).decode()},' for name in ("as_of", "source", "licence")]
    vendors = (
        f"    {_encode(vendor).decode()}: {{\n{_lines(models)}\n    }}"
        for vendor, models in sorted(table.models.items())
    )
    return "\n".join(["{", *head, '  "models": {', ",\n".join(vendors), "  }", "}", ""]).encode()


def _lines(models: Mapping[str, ModelEntry]) -> str:
    return ",\n".join(
        f"      {_encode(name).decode()}: {_encode(entry).decode()}" for name, entry in sorted(models.items())
    )


def _name(key: str, provider: Any) -> tuple[str, str] | None:
    """The vendor, and what it calls the model; ``None`` for what is no model but a variant of one."""
    if not isinstance(provider, str) or _SIZE.search(key):
        return None
    family = next((family[:-1] for family in _FAMILIES if provider.startswith(family)), provider)
    vendor = _VENDORS.get(family, family)
    head, slash, tail = key.partition("/")
    if slash and head.replace("-", "_") in {vendor.replace("-", "_"), family.replace("-", "_")}:
        return (vendor, tail)
    return vendor, key


def _entry(raw: Mapping[str, Any]) -> ModelEntry | None:
    mode: Any = _MODES.get(raw.get("mode", ""))
    if mode is None:
        return None
    prices, tiers = _prices(raw, mode)
    more: dict[str, Any] = {**prices}
    if mode == "chat" and (lacks := frozenset(_lacks(raw))):
        more["lacks"] = lacks
    reply = None if mode in _WITHOUT_OUTPUT else _whole(raw.get("max_output_tokens") or raw.get("max_tokens"))
    return ModelEntry(
        mode=mode,
        context=_whole(raw.get("max_input_tokens") or (raw.get("max_tokens") if mode in _WITHOUT_OUTPUT else None)),
        reply=reply,
        tiers=tiers,
        **more,
    )


def _prices(raw: Mapping[str, Any], mode: Mode) -> tuple[dict[str, Decimal], tuple[TierEntry, ...]]:
    """Prices as an entry has them: tokens by the million, and nothing that says what is so anyway."""
    sound = {name: value for name, value in raw.items() if _is_price(value)}
    unit = _COUNTED.get(mode)
    units = [name for name, ours in UNIT_COSTS.items() if ours == unit and sound.get(name)]
    prices = stated_costs({name: sound[name] for name in (*TOKEN_COSTS, *units) if name in sound})
    tiers = stated_tiers(sound)
    for level in raw.get("tiered_pricing") or ():
        above, stated = _level(level)
        if above:
            tiers[above] = stated
        else:
            prices |= stated
    if mode in _WITHOUT_OUTPUT:
        prices = {name: value for name, value in prices.items() if value}
    if "output" not in prices and "image_out" in prices:
        prices["output"] = prices["image_out"]
    for name, usual in _USUAL:
        if name in prices and prices[name] == prices.get(usual):
            del prices[name]
    entries = (TierEntry(above=above, **_by_million(stated)) for above, stated in sorted(tiers.items()) if stated)
    return _by_million(prices), tuple(entries)


def _level(level: Any) -> tuple[int, dict[str, Decimal]]:
    """One element of ``tiered_pricing``: the tokens above which it holds, and its prices."""
    if not isinstance(level, dict):
        return 0, {}
    bounds = level.get("range")
    above = _whole(bounds[0]) if isinstance(bounds, list) and bounds else None
    sound = {name: level[name] for name in TIERED_COSTS if _is_price(level.get(name))}
    return above or 0, stated_costs(sound)


def _by_million(prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
    tokens = set(TOKEN_COSTS.values())
    return {name: _plain(value, 6 if name in tokens else 0) for name, value in prices.items()}


def _plain(value: Decimal | int, shift: int) -> Decimal:
    shifted = Decimal(value).scaleb(shift)
    rounded = round(shifted, _DIGITS - 1 - shifted.adjusted()) if shifted else Decimal(0)
    return Decimal(f"{rounded.normalize():f}")


def _is_price(value: Any) -> bool:
    return (
        isinstance(value, Decimal | int) and not isinstance(value, bool) and Decimal(value).is_finite() and value >= 0
    )


def _whole(value: Any) -> int | None:
    return int(value) if _is_price(value) and value else None


def _lacks(raw: Mapping[str, Any]) -> Iterator[str]:
    modalities = raw.get("supported_modalities")
    is_blind = isinstance(modalities, list) and "image" not in modalities and not raw.get("supports_vision")
    if raw.get("supports_vision") is False or is_blind:
        yield "images"
    if raw.get("supports_function_calling") is False:
        yield "tools"
