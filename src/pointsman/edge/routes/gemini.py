"""Gemini's listings. Its other endpoints, whose paths name the model and the method, are served like all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply

METHODS = ("generateContent", "streamGenerateContent", "countTokens")


async def list_models(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /v1beta/models``."""
    json_reply(exchange, {"models": [_entry(entry) for entry in serving.catalog.models(exchange.caller.may_use)]})


async def show_model(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /v1beta/models/{id}``."""
    json_reply(exchange, _entry(serving.catalog.model(params["model"], exchange.caller.may_use)))


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    limits = {"inputTokenLimit": entry.get("max_input_tokens"), "outputTokenLimit": entry.get("max_output_tokens")}
    return {
        "name": f"models/{entry['id']}",
        "displayName": entry["id"],
        "supportedGenerationMethods": list(METHODS),
        **{name: value for name, value in limits.items() if value is not None},
    }
