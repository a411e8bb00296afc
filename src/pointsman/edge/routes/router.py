"""Routed models: what they are, and why they would decide as they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import Forbidden, InvalidRequest, ModelNotFound, ResourceNotFound

NOTHING_ROUTED = "No model here is chosen for each prompt; docs/how-to/routing.md sets one up"
MAX_FEEDBACK_BYTES = 65_536
THUMBS = (("down", False), ("up", True))


async def info(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /router/info``: every routed model with its candidates, checkpoint, knobs and counts."""
    if not exchange.caller.is_master:
        raise Forbidden("This path needs the master key")
    nothing: dict[str, Any] = {"routed_models": []}
    json_reply(exchange, nothing if serving.explaining is None else serving.explaining.info())


async def explain(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /router/explain``: where a prompt would go, and why."""
    asked = _object(await exchange.body(serving.pipeline.max_body_bytes))
    if serving.explaining is None:
        raise ModelNotFound(NOTHING_ROUTED, param="model")
    model = asked.get("model")
    if isinstance(model, str) and exchange.caller.models:
        serving.catalog.model(model, exchange.caller.may_use)
    json_reply(exchange, await serving.explaining.explain(asked, exchange.headers, exchange.caller.name))


async def feedback(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /router/feedback``: how good the answer of a request was, for whoever has sent it or the master key."""
    asked = _object(await exchange.body(MAX_FEEDBACK_BYTES))
    request_id, text = asked.get("request_id"), asked.get("text")
    if not isinstance(request_id, str) or not request_id:
        raise InvalidRequest("Name the request: what its reply has said in x-request-id", param="request_id")
    if text is not None and not isinstance(text, str):
        raise InvalidRequest("'text' must be a string", param="text")
    score = _score(asked)
    if serving.decisions is None:
        raise ResourceNotFound(NOTHING_ROUTED, param="request_id")
    caller = exchange.caller
    was_rated = serving.decisions.feedback(request_id, score, text, caller.name, is_master=caller.is_master)
    json_reply(exchange, {"request_id": request_id, "score": score, "status": "changed" if was_rated else "taken"})


def _score(asked: Mapping[str, Any]) -> float:
    """From 0 to 1, or thumbs.

    :raises InvalidRequest: it is neither, or both
    """
    given = [name for name in ("score", "thumbs") if asked.get(name) is not None]
    if len(given) != 1:
        raise InvalidRequest("Say either 'score', a number from 0 to 1, or 'thumbs', up or down", param="score")
    value = asked[given[0]]
    if given == ["thumbs"]:
        for score, words in enumerate(THUMBS):
            if any(value is word or (isinstance(word, str) and value == word) for word in words):
                return float(score)
        raise InvalidRequest("'thumbs' must be up or down, true or false", param="thumbs")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidRequest("'score' must be a number from 0 to 1", param="score")
    return float(value)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not a JSON object: {error}") from None
