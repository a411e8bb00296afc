from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from unit.mcp.pretending import CHANGED, Pretending, Rig, Someone, legacy, only, server

from pointsman.access.caller import Caller
from pointsman.errors import (
    BudgetExceeded,
    Overloaded,
    RateLimited,
    SessionLost,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.mcp import calls
from pointsman.mcp.base import Asking, Introduction
from pointsman.mcp.calls import Quiet, Unmetered
from pointsman.wire.jsonrpc import RpcError, notification, raw

PROGRESS = notification("notifications/progress", {"progressToken": 1, "progress": 1})
CALL = {"name": "go", "arguments": {}}


def rig_of(answer: Any, said: Any = None, **settings: Any) -> tuple[Rig, Pretending]:
    far = Pretending({"tools": [{"name": "go", "inputSchema": {"type": "object"}}]}, **(said or {}))
    far.answers["tools/call"] = answer
    return Rig((server("a", **settings), far)), far


async def call(rig: Rig, asking: Asking | None = None) -> Any:
    return await rig.ask("tools/call", CALL, scope=only("a"), asking=asking)


@pytest.mark.requirement("mcp.audit")
async def test_a_call_is_metered_counted_and_written_down(caplog: pytest.LogCaptureFixture) -> None:
    rig, _ = rig_of({"content": []})
    with caplog.at_level(logging.INFO, "pointsman.mcp.calls"):
        await call(rig)
    assert rig.meter.opened == [("key:a", "a", "go")]
    assert rig.meter.closed == [(True, True)]
    assert rig.counted.seen == [("a", "go", "success")]
    (record,) = caplog.records
    said = vars(record)
    assert [said[name] for name in ("caller", "server", "tool", "outcome")] == ["key:a", "a", "go", "success"]


@pytest.mark.parametrize(
    ("answer", "outcome", "closed"),
    [
        ({"isError": True, "content": []}, "error", (True, True)),
        (RpcError(-32000, "no"), "rpc -32000", (False, True)),
        (UpstreamBroken("cut off"), "upstream_broken", (False, True)),
        (UpstreamUnreachable("gone"), "upstream_unreachable", (False, False)),
        (SessionLost(), "session_lost", (False, False)),
        (Overloaded("full"), "overloaded", (False, False)),
    ],
)
async def test_what_came_of_it_is_told_apart_and_paid_for_where_the_server_may_have_worked(
    answer: Any, outcome: str, closed: tuple[bool, bool]
) -> None:
    rig, _ = rig_of(answer)
    if isinstance(answer, Exception):
        with pytest.raises(type(answer)):
            await call(rig)
    else:
        assert await call(rig) == answer
    assert rig.counted.seen == [("a", "go", outcome)]
    assert rig.meter.closed == [closed]


@pytest.mark.parametrize("refusal", [RateLimited("slow down"), BudgetExceeded("no money")])
async def test_whoever_has_nothing_left_does_not_reach_the_server(refusal: Exception) -> None:
    rig, far = rig_of({})
    rig.meter.refusal = refusal
    with pytest.raises(type(refusal)):
        await call(rig)
    assert far.count("tools/call") == 0
    assert rig.meter.closed == []


@pytest.mark.requirement("mcp.deadline")
async def test_a_call_has_so_much_time() -> None:
    rig, _ = rig_of(lambda *_: asyncio.Event().wait(), timeout=0.01)
    with pytest.raises(UpstreamTimeout):
        await call(rig)
    assert rig.meter.closed == [(False, True)]


async def test_a_server_that_tells_how_far_it_is_has_more() -> None:
    async def slow(_: object, asking: Asking) -> Any:
        limit = asking._limit  # type: ignore[attr-defined]
        before = limit.when()
        await asyncio.sleep(0)
        asking.tell(PROGRESS)
        assert limit.when() > before
        return {}

    rig, _ = rig_of(slow)
    someone = rig.someone()
    await call(rig, someone)
    assert someone.heard == [PROGRESS]


@pytest.mark.requirement("mcp.deadline")
async def test_the_time_that_a_client_takes_to_answer_does_not_count() -> None:
    async def asks(_: object, asking: Asking) -> Any:
        return {"said": (await asking.ask("elicitation/create", raw({}))).copy()}

    async def late() -> dict[str, int]:
        await asyncio.sleep(0.05)
        return {"age": 7}

    rig, _ = rig_of(asks, timeout=0.02)
    someone = rig.someone()
    someone.reply = late
    assert await call(rig, someone) == {"said": {"age": 7}}


@pytest.mark.requirement("mcp.result-size")
async def test_a_result_that_is_too_long_is_not_passed_on() -> None:
    rig, _ = rig_of({"content": ["x" * 1000]}, max_result_bytes=500)
    with pytest.raises(UpstreamBroken, match="500 bytes"):
        await call(rig)
    assert rig.meter.closed == [(False, True)]


@pytest.mark.requirement("mcp.spend")
async def test_a_client_that_leaves_is_written_down_as_such_and_pays() -> None:
    begun = asyncio.Event()

    async def never(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    rig, _ = rig_of(never)
    task = asyncio.ensure_future(call(rig))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.counted.seen == [("a", "go", "cancelled")]
    assert rig.meter.closed == [(False, True)]


async def test_one_that_leaves_before_the_server_was_reached_pays_nothing() -> None:
    class Silent(Pretending):
        async def introduce(self) -> Introduction:
            await asyncio.Event().wait()
            return self.said

    far = Silent({})
    rig = Rig((server("a", isolation="shared", timeout=0.01), far))
    with pytest.raises(UpstreamTimeout):
        await call(rig)
    assert far.count("tools/call") == 1
    assert rig.meter.closed == [(False, False)]


@pytest.mark.requirement("mcp.limits")
@pytest.mark.requirement("mcp.audit")
@pytest.mark.parametrize(
    ("method", "params", "target"),
    [
        ("prompts/get", {"name": "p"}, "p"),
        ("resources/read", {"uri": "x:1"}, "x:1"),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "x:1"}}, "x:1"),
        ("vendor/do", {}, ""),
    ],
)
async def test_whatever_reaches_a_server_is_measured_and_written_down(
    method: str, params: Any, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig, far = rig_of({})
    with caplog.at_level(logging.INFO, "pointsman.mcp.calls"):
        await rig.ask(method, params, scope=only("a"), asking=rig.someone(request_id="r1"))
        rig.meter.refusal = RateLimited("slow down")
        with pytest.raises(RateLimited):
            await rig.ask(method, params, scope=only("a"))
    assert (rig.meter.opened, rig.meter.closed, far.count(method)) == ([("key:a", "a", None)], [(True, True)], 1)
    said = [vars(one) for one in caplog.records]
    names = ("caller", "server", "method", "target")
    assert [[one[name] for name in names] for one in said] == [["key:a", "a", method, target]] * 2
    assert (said[0]["request_id"], said[0]["outcome"], said[1]["outcome"]) == ("r1", "success", "rate_limit_exceeded")


async def test_tools_that_nobody_knows_are_counted_together() -> None:
    rig, _ = rig_of({})
    for name in ("go", "made-up", "made-up-too"):
        await rig.ask("tools/call", {"name": name}, scope=only("a"))
    assert [name for _, name, _ in rig.counted.seen] == ["go", "other", "other"]


async def test_a_change_that_is_told_within_a_call_is_for_those_who_listen() -> None:
    async def changes(_: object, asking: Asking) -> Any:
        asking.tell(CHANGED)
        return {}

    rig, far = rig_of(changes)
    someone = rig.someone()
    assert await rig.tools() == ["a__go"]
    await call(rig, someone)
    assert someone.heard == []
    assert len(far.watches) == 1


LOGS = {"era": "legacy", "revision": "2025-11-25"}


async def test_a_server_is_told_once_from_which_level_on_to_log() -> None:
    rig, far = rig_of({}, LOGS, isolation="session")
    someone = Someone(legacy(log_level="info"))
    await call(rig, someone)
    await call(rig, someone)
    asked = [given for one in (far, *rig.others) for method, given in one.asked if method == "logging/setLevel"]
    assert asked == [{"level": "info"}]


async def test_one_that_is_shared_logs_what_any_of_them_wants() -> None:
    rig, far = rig_of({}, LOGS)
    for level in ("warning", "debug", "error", "nonsense"):
        await call(rig, Someone(legacy(log_level=level)))
    assert [given["level"] for method, given in far.asked if method == "logging/setLevel"] == ["warning", "debug"]


@pytest.mark.parametrize("said", [{}, {**LOGS, "capabilities": {"tools": {}}}], ids=["modern", "does not log"])
async def test_no_other_server_is_told(said: Any) -> None:
    rig, far = rig_of({}, said)
    await call(rig, Someone(legacy(log_level="info")))
    assert far.count("logging/setLevel") == 0


async def test_who_cannot_be_asked_says_so() -> None:
    quiet = Quiet(legacy())
    quiet.tell(CHANGED)
    with pytest.raises(RpcError, match="nobody"):
        await quiet.ask("sampling/createMessage", raw({}))


async def test_without_a_meter_everything_passes() -> None:
    assert (await Unmetered().open(Caller(name="a"), "b", "c"))(True, True) is None


def test_levels_are_in_their_order() -> None:
    assert calls.LEVELS.index("debug") < calls.LEVELS.index("emergency")
