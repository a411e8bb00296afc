from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pointsman.access.caller import MASTER
from pointsman.edge.context import Handler, Serving
from pointsman.edge.routes.config import reload_config, reload_routers, rollback, sync_status
from pointsman.errors import BodyTooLarge, Forbidden, InvalidRequest, Overloaded, ResourceNotFound

Make = Callable[..., Any]
HANDLERS = (reload_config, rollback, sync_status, reload_routers)


class _Reloading:
    """Tells what it was asked."""

    async def reload(self, who: str, *, has_to_fetch: bool = False) -> Mapping[str, Any]:
        return {"who": who, "force": has_to_fetch, "status": "success"}

    async def reload_routers(self, who: str, strategy: str | None, *, has_to_fetch: bool = False) -> Mapping[str, Any]:
        return {"who": who, "strategy": strategy, "force": has_to_fetch, "status": "success"}

    async def rollback(self, who: str) -> Mapping[str, Any]:
        return {"back": who, "status": "success"}

    def status(self) -> Mapping[str, Any]:
        return {"hash": "a"}


@pytest.fixture
async def serving(make_serving: Make) -> Serving:
    return cast("Serving", replace(make_serving(), reloading=_Reloading()))


@pytest.mark.parametrize(
    ("handler", "body", "told"),
    [
        (reload_config, b"", {"who": "the endpoint", "force": False}),
        (reload_config, b' {"force_sync": true, "more": 1}', {"who": "the endpoint", "force": True}),
        (rollback, b"{}", {"back": "the endpoint"}),
        (sync_status, b"", {"hash": "a"}),
        (reload_routers, b'{"strategy": null}', {"who": "the endpoint", "strategy": None, "force": False}),
        (
            reload_routers,
            b'{"strategy": "llmrouter-knn", "force_sync": true}',
            {"who": "the endpoint", "strategy": "llmrouter-knn", "force": True},
        ),
    ],
)
async def test_the_master_is_told_what_came_of_it(
    serving: Serving, make_exchange: Make, wire: Any, handler: Handler, body: bytes, told: dict[str, Any]
) -> None:
    exchange = make_exchange("POST", body=body)
    exchange.caller = MASTER
    await handler(serving, exchange, {})
    assert wire.json == (told if "hash" in told else told | {"status": "success"})


@pytest.mark.requirement("config.reload.master")
@pytest.mark.parametrize("handler", HANDLERS)
async def test_nobody_else_may_ask(serving: Serving, make_exchange: Make, handler: Handler) -> None:
    with pytest.raises(Forbidden):
        await handler(serving, make_exchange("POST"), {})


@pytest.mark.parametrize("handler", HANDLERS)
async def test_where_nothing_can_change_that_is_said(make_serving: Make, make_exchange: Make, handler: Handler) -> None:
    exchange = make_exchange("POST")
    exchange.caller = MASTER
    with pytest.raises(ResourceNotFound):
        await handler(make_serving(), exchange, {})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"[]", InvalidRequest),
        (b'{"force_sync": "yes"}', InvalidRequest),
        (b"\xff", InvalidRequest),
        (b" " * 5000, BodyTooLarge),
    ],
)
async def test_a_body_of_another_shape_is_refused(
    serving: Serving, make_exchange: Make, body: bytes, error: type[Exception]
) -> None:
    exchange = make_exchange("POST", body=body)
    exchange.caller = MASTER
    with pytest.raises(error):
        await reload_config(serving, exchange, {})


@pytest.mark.parametrize(
    ("handler", "what"),
    [(reload_config, "config.reload"), (rollback, "config.rollback"), (reload_routers, "router.reload")],
)
@pytest.mark.parametrize("is_away", [False, True])
async def test_who_changed_what_is_in_force_stands_in_the_audit_log_if_there_is_one(
    serving: Serving, make_exchange: Make, wire: Any, handler: Handler, what: str, is_away: bool
) -> None:
    written: list[tuple[str, str, Any]] = []

    async def write(caller: Any, what: str, _target: str, changes: Any, *, after: Any) -> None:
        assert not changes
        if is_away:
            raise Overloaded
        written.append((caller.name, what, after))

    serving.accounts.admin = cast("Any", SimpleNamespace(write=write))
    exchange = make_exchange("POST", body=b"{}")
    exchange.caller = MASTER
    await handler(serving, exchange, {})
    assert wire.json
    assert written == ([] if is_away else [("master", what, {"status": "success"})])
