"""The config while it is in force: taking up another one, going back, and what came of that. For the master only."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.edge.context import Reloading, Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import Forbidden, InvalidRequest, Overloaded, ResourceNotFound

MAX_BODY_BYTES = 4096
ENDPOINT = "the endpoint"
AUDITED = ("status", "hash", "reloaded")
"""Of what is told, that says which config is in force."""
log = logging.getLogger(__name__)


class ReloadRequest(msgspec.Struct, kw_only=True):
    """The body of both reloads."""

    strategy: str | None = None
    force_sync: bool = False


async def reload_config(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /config/reload``: take up what the source has now."""
    reloading = _reloading(serving, exchange)
    asked = await _asked(exchange)
    told = await reloading.reload(ENDPOINT, has_to_fetch=asked.force_sync)
    await _write_down(serving, exchange, "config.reload", told)
    json_reply(exchange, told)


async def rollback(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /config/rollback``: go back to what was in force before, until the source changes."""
    reloading = _reloading(serving, exchange)
    await _asked(exchange)
    told = await reloading.rollback(ENDPOINT)
    await _write_down(serving, exchange, "config.rollback", told)
    json_reply(exchange, told)


async def sync_status(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /config/sync/status``: what is in force, here and in the other workers, and where it comes from."""
    json_reply(exchange, _reloading(serving, exchange).status())


async def reload_routers(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /router/reload``: read the checkpoints of one strategy again, or all."""
    reloading = _reloading(serving, exchange)
    asked = await _asked(exchange)
    told: Mapping[str, Any] = await reloading.reload_routers(ENDPOINT, asked.strategy, has_to_fetch=asked.force_sync)
    await _write_down(serving, exchange, "router.reload", told)
    json_reply(exchange, told)


async def _write_down(serving: Serving, exchange: Exchange, what: str, told: Mapping[str, Any]) -> None:
    """Into the audit log, where there is one: what was done, and what has come of it. It is done in any case."""
    admin = serving.accounts.admin
    if admin is not None:
        try:
            await admin.write(
                exchange.caller, what, "", (), after={name: told[name] for name in AUDITED if name in told}
            )
        except Overloaded:
            log.warning("%s of %s is not in the audit log, which is away", what, exchange.caller.name)


def _reloading(serving: Serving, exchange: Exchange) -> Reloading:
    if not exchange.caller.is_master:
        raise Forbidden("This path needs the master key")
    if serving.reloading is None:
        raise ResourceNotFound("This gateway cannot change its config while it runs")
    return serving.reloading


async def _asked(exchange: Exchange) -> ReloadRequest:
    body = await exchange.body(MAX_BODY_BYTES)
    if not body.strip():
        return ReloadRequest()
    try:
        return msgspec.json.decode(body, type=ReloadRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not what this path takes: {error}") from None
