"""What can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.pipeline.serve import AGENT


async def list_models(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /v1/models``, as OpenAI or as Anthropic has it."""
    entries = serving.catalog.models(exchange.caller.may_use)
    if serving.a2a is not None:
        known = {entry["id"] for entry in entries}
        entries += [entry for entry in await serving.a2a.models(exchange.caller) if entry["id"] not in known]
    if exchange.dialect != "anthropic":
        json_reply(exchange, {"object": "list", "data": entries})
        return
    data = [_anthropic_entry(entry) for entry in entries]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    json_reply(exchange, {"data": data, "has_more": False, **ends})


async def show_model(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /v1/models/{id}``; an id may hold slashes."""
    entry = await _agent(serving, exchange, params["model"])
    if entry is None:
        entry = serving.catalog.model(params["model"], exchange.caller.may_use)
    json_reply(exchange, _anthropic_entry(entry) if exchange.dialect == "anthropic" else entry)


async def _agent(serving: Serving, exchange: Exchange, model: str) -> Mapping[str, Any] | None:
    """The entry of an agent; ``None``: that is none."""
    if serving.a2a is None or not model.startswith(AGENT):
        return None
    return next((one for one in await serving.a2a.models(exchange.caller) if one["id"] == model), None)


async def model_info(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /model/info``: every deployment, without its credential."""
    json_reply(exchange, {"data": serving.catalog.deployments(exchange.caller.may_use)})


def _anthropic_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    created = datetime.fromtimestamp(entry["created"], UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": entry["id"], "display_name": entry["id"], "created_at": created}
