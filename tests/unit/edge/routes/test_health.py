from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pointsman.edge.routes.health import health, liveness, readiness
from pointsman.errors import ModelNotFound
from pointsman.upstream.loopback import Reply

Make = Callable[..., Any]


@pytest.mark.parametrize(("is_ready", "status", "word"), [(True, 200, "healthy"), (False, 503, "draining")])
async def test_the_probes_touch_no_dependency(
    make_serving: Make, make_exchange: Make, wire: Any, *, is_ready: bool, status: int, word: str
) -> None:
    def answer(method: bytes, target: bytes, body: bytes) -> Reply:
        raise AssertionError(target)

    serving = replace(make_serving(answer), is_ready=is_ready)
    await liveness(serving, make_exchange(), {})
    assert (wire.status, wire.json) == (200, "I'm alive!")
    wire.sent = b""
    await readiness(serving, make_exchange(), {})
    assert (wire.status, wire.json) == (status, {"status": word, "db": "Not connected"})


@pytest.mark.parametrize(
    ("query", "asked"),
    [("", 1), ("model=house", 1), ("model=ho%75se-id", 1), ("model=house&model=nobody", 1), ("model=", 1)],
)
async def test_the_live_check_asks_all_or_those_of_one_model(
    make_serving: Make, make_exchange: Make, wire: Any, query: str, asked: int
) -> None:
    targets = []

    def answer(method: bytes, target: bytes, body: bytes) -> Reply:
        targets.append(method + b" " + target)
        return Reply(status=500, headers=[])

    await health(make_serving(answer), make_exchange(query=query), {})
    assert targets == [b"GET /v1/models"] * asked
    assert (wire.status, wire.json["unhealthy_count"], wire.json["healthy_count"]) == (200, asked, 0)


async def test_the_live_check_of_a_model_that_nobody_serves_is_not_found(
    make_serving: Make, make_exchange: Make
) -> None:
    with pytest.raises(ModelNotFound):
        await health(make_serving(), make_exchange(query="model=nobody"), {})
