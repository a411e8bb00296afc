"""Is the process alive, may it be sent traffic, do its upstreams answer."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply


async def liveness(_serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /health/liveliness``: touches no dependency."""
    json_reply(exchange, "I'm alive!")


async def readiness(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /health/readiness``: 503 while the server drains.

    Not while the database is away, which ``db`` tells as LiteLLM has it: keys that are known go on.
    """
    status, word = (200, "healthy") if serving.is_ready else (503, "draining")
    json_reply(exchange, {"status": word, "db": serving.accounts.state}, status)


async def health(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /health?model=``: asks every upstream, or those of one model."""
    model = parse_qs(exchange.query).get("model", [None])[0]
    json_reply(exchange, await serving.health.run(model))
