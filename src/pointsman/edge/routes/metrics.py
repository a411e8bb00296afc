"""Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import text_reply


async def metrics(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /metrics``."""
    content_type, body = serving.metrics.render()
    text_reply(exchange, content_type, body)
