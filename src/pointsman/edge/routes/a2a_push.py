"""Where agents tell of tasks whose clients have a webhook, and which of those could not be called."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pointsman.edge.a2a import a2a_of
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply


async def receive(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /a2a/push/{token}``: the token is all that an agent needs to show."""
    push = await a2a_of(serving).push()
    hook = await push.behind(params["token"])
    await push.receive(hook, await exchange.body(serving.pipeline.max_body_bytes))
    json_reply(exchange, {})


async def dead_letters(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /a2a/push``: the last notices that this worker could not deliver, without what was in them."""
    push = await a2a_of(serving).push()
    json_reply(exchange, {"dead": [msgspec.to_builtins(one) for one in push.deliveries.dead]})
