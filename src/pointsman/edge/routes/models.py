"""What can be asked for."""

from __future__ import annotations

from collections.abc import Mapping

from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply


async def list_models(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /v1/models``."""
    json_reply(exchange, {"object": "list", "data": serving.catalog.models()})


async def show_model(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /v1/models/{id}``; an id may hold slashes."""
    json_reply(exchange, serving.catalog.model(params["model"]))


async def model_info(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /model/info``: every deployment, without its credential."""
    json_reply(exchange, {"data": serving.catalog.deployments()})
