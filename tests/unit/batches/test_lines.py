from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from queued import CHAT, chat

from pointsman.access.caller import MASTER, Caller
from pointsman.access.keys import Key
from pointsman.batches.lines import MAX_LAPSES, MAX_NUMBER, Again, Lines, Order, broken, summed
from pointsman.errors import (
    BudgetExceeded,
    Forbidden,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    RateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.pipeline.admission import BATCH_PRIORITY
from pointsman.pipeline.call import Call
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.used import Used
from pointsman.store.work import Claimed, LineLease, Result
from pointsman.wire.usage import Usage

NOW = 1000.0
END = 2000.0
KEY = Caller(name="key:k", role="key", key=Key(account="k"))


class Served:
    """A pipeline that does as it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, bytes]] = []
        self.error: BaseException | None = None
        self.body = b'{"id":"x"}'
        self.status = 200

    def clock(self) -> float:
        return 7.0

    def serve(self, call: Call, body: bytes) -> Coroutine[Any, Any, None]:
        return self._serve(call, body)

    async def _serve(self, call: Call, body: bytes) -> None:
        self.calls.append((call, body))
        assert call.used is not None
        call.used.add(Usage(input_tokens=3, cached_input_tokens=1, output_tokens=5, reasoning_tokens=2), 11)
        if self.error is not None:
            raise self.error
        call.downstream.reply(self.status, b"content-type: application/json\r\n", self.body)


class World:
    """Lines of one caller."""

    def __init__(self) -> None:
        self.served = Served()
        self.used = Used()
        self.caller: Callable[[], Caller] = lambda: KEY
        self.lines = Lines(lambda: cast("Pipeline", self.served), now=lambda: NOW)

    async def run(self, data: bytes | None = None, lapses: int = 0) -> Result | Again:
        async def caller() -> Caller:
            return self.caller()

        order = Order("batch_1", {b"x-litellm-tags": b"night"}, END, caller)
        claimed = Claimed(LineLease("batch_1", 4, 2), "a", 0, 10, lapses)
        return await self.lines.run(order, claimed, chat("a") if data is None else data, self.used)

    async def result(self, data: bytes | None = None, lapses: int = 0) -> Result:
        found = await self.run(data, lapses)
        assert isinstance(found, Result)
        return found


@pytest.fixture
def world() -> World:
    return World()


def told(result: Result) -> Any:
    return json.loads(result.body)["error"]


async def test_a_line_is_served_as_its_callers_request_and_later_than_others(world: World) -> None:
    result = await world.result()
    [(call, body)] = world.served.calls
    assert json.loads(body) == {"model": "house", "messages": []}
    assert (call.caller, call.tenant, call.is_master) == (KEY, "key:k", False)
    assert (call.priority, call.received) == (BATCH_PRIORITY, 7.0)
    assert call.headers == {b"x-litellm-tags": b"night"}
    assert call.identity == b"x-request-id: batch_1-4-2\r\n"
    assert (result.status, result.body, result.is_failed) == (200, b'{"id":"x"}', False)
    assert result.request_id == "batch_1-4-2"
    result = summed(result, world.used)
    assert (result.input_tokens, result.cached_tokens, result.output_tokens, result.reasoning_tokens) == (3, 1, 5, 2)
    assert result.cost_nano_usd == 11


async def test_an_answer_is_one_line_of_json(world: World) -> None:
    world.served.body = b'{\r\n  "id": "a\\nb"\n}\n'
    assert (await world.result()).body == b'{"id":"a\\nb"}'
    for body in (b"no\njson", b"", b"{", b'{"t":"\xff\xfe"}'):
        world.served.body = body
        assert json.loads((await world.result()).body) == "The answer is not JSON"


def test_absurd_numbers_are_bounded_by_what_a_store_can_hold() -> None:
    result = summed(Result(lease=LineLease("b", 1, 1), status=200, body=b"{}"), Used(2**70, 0, 1, 0, 2**80))
    assert (result.input_tokens, result.output_tokens, result.cost_nano_usd) == (MAX_NUMBER, 1, MAX_NUMBER)


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("no"),
        ModelNotFound(),
        RateLimited("none at all"),
        UpstreamRejected("no", status=400, kind="invalid_request_error"),
        UpstreamRejected("Request too large for gpt-4o", status=429, kind="tokens", is_retryable=True),
    ],
)
async def test_what_the_same_request_would_meet_again_is_the_lines_result(world: World, error: GatewayError) -> None:
    world.served.error = error
    result = await world.result()
    assert (result.status, result.is_failed) == (error.status, True)
    assert told(result)["message"] == error.message
    # It has cost something all the same.
    assert summed(result, world.used).cost_nano_usd == 11


@pytest.mark.parametrize(
    ("error", "is_ours", "counts"),
    [
        (RateLimited(retry_after=30), False, False),
        (Overloaded(retry_after=1), True, False),
        (Overloaded(code="store_unavailable"), False, False),
        (UpstreamRejected("slowly", status=429, kind="rate_limit_error", is_retryable=True), False, False),
        (UpstreamRejected("no", status=500, kind="server_error", is_retryable=True), False, True),
        (UpstreamUnreachable(), False, True),
        (UpstreamTimeout(), False, True),
    ],
)
@pytest.mark.requirement("batches.retried")
async def test_what_may_be_over_soon_is_tried_again(
    world: World, error: GatewayError, is_ours: bool, counts: bool
) -> None:
    world.served.error = error
    again = await world.run()
    assert isinstance(again, Again)
    assert (again.retry_after, again.is_ours, again.counts) == (error.retry_after, is_ours, counts)
    assert not again.is_money
    assert (again.result.status, again.result.is_failed) == (error.status, True)


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (BudgetExceeded("no more money"), None),
        (BudgetExceeded("none before the end", retry_after=END - NOW), None),
        (BudgetExceeded("not yet", retry_after=END - NOW - 1), END - NOW - 1),
    ],
)
async def test_money_may_come_back_from_others_or_with_the_next_day_if_that_comes_before_the_end(
    world: World, error: GatewayError, retry_after: float | None
) -> None:
    world.served.error = error
    again = await world.run()
    assert isinstance(again, Again)
    assert (again.is_money, again.retry_after, again.counts) == (True, retry_after, False)
    assert (again.result.status, again.result.is_failed) == (429, True)


@pytest.mark.requirement("batches.caller")
async def test_whoever_is_blocked_by_now_gets_no_answers(world: World) -> None:
    def blocked() -> Caller:
        raise Forbidden("This API key is blocked")

    world.caller = blocked
    result = await world.result()
    assert (result.status, told(result)["message"]) == (403, "This API key is blocked")
    assert not world.served.calls


async def test_a_key_for_other_paths_gets_none_either(world: World) -> None:
    world.caller = lambda: Caller(name="key:k", role="key", key=Key(account="k", allowed_routes=("/v1/embeddings",)))
    assert (await world.result()).status == 403
    world.caller = lambda: MASTER
    assert (await world.result()).status == 200


async def test_a_line_that_cannot_be_read_fails_alone(world: World) -> None:
    assert (await world.result(b"no json")).status == 400
    streamed = json.dumps(
        {
            "custom_id": "a",
            "method": "POST",
            "url": CHAT,
            "body": {"model": "house", "messages": [{"role": "user", "content": "x"}], "stream": True},
        }
    )
    assert told(await world.result(streamed.encode()))["param"] == "stream"
    assert broken(Claimed(LineLease("b", 1, 1), "a", 0, 1, 0)).is_failed
    assert not world.served.calls


async def test_a_line_that_ends_whoever_runs_it_is_not_run_for_ever(world: World) -> None:
    assert (await world.result(lapses=MAX_LAPSES - 1)).status == 200
    assert (await world.result(lapses=MAX_LAPSES)).status == 500
    assert len(world.served.calls) == 1


async def test_a_fault_of_this_gateway_is_told_as_one_and_nothing_of_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.served.error = RuntimeError("a secret")
    result = await world.result()
    assert result.status == 500
    assert b"secret" not in result.body
    assert "line 4 of batch batch_1" in caplog.text


async def test_errors_of_messages_are_told_as_anthropic_does(world: World) -> None:
    world.served.error = InvalidRequest("no")
    data = {"custom_id": "a", "method": "POST", "url": "/v1/messages", "body": {"model": "m", "messages": []}}
    result = await world.result(json.dumps(data).encode())
    assert json.loads(result.body)["type"] == "error"


@pytest.mark.requirement("batches.reload")
async def test_each_line_is_served_by_what_is_in_force_when_it_begins(world: World) -> None:
    await world.result()
    before, world.served = world.served, Served()
    await world.result()
    assert (len(before.calls), len(world.served.calls)) == (1, 1)
