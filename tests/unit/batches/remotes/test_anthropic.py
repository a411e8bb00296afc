from __future__ import annotations

import json
from typing import Any

import pytest
from batch_wires import CHAT, MESSAGES, Wire, order_of, target_at
from message_batch_provider import MessageBatchProvider

from pointsman.batches.protocol.providers.anthropic import CLOCKS_SECONDS
from pointsman.batches.protocol.providers.base import Progress
from pointsman.batches.remotes import anthropic
from pointsman.batches.remotes.anthropic import ASK_SECONDS, SETTLED_SECONDS, AnthropicRemote
from pointsman.batches.remotes.base import FAILED_SECONDS, Order, Step
from pointsman.errors import (
    CONNECT_TIMEOUT,
    BodyTooLarge,
    InvalidRequest,
    UpstreamBroken,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)

BODY = b'{"model":"house","max_tokens":8,"messages":[]}'
ASKED = 1000.0
"""When it was written down that it would be asked."""
SETTLED = ASKED + ASK_SECONDS + SETTLED_SECONDS


class World:
    """A workspace, and somebody who has batches run there."""

    def __init__(self) -> None:
        self.now = ASKED
        self.provider = MessageBatchProvider(now=lambda: self.now)
        self.wire = Wire(self.provider.answer)
        self.remote = AnthropicRemote(target_at(self.wire, "anthropic"))
        self.is_mine = True

    def order(self, *bodies: bytes, **changes: Any) -> Order:
        now = {"now": lambda: self.now, "is_mine": lambda: self.is_mine}
        return order_of(*(bodies or (BODY, BODY)), **{"endpoint": MESSAGES} | now | changes)

    async def begin(self, order: Order, progress: Progress) -> Step:
        step = await self.remote.begin(order, progress)
        assert step is not None
        return step

    async def written(self, **changes: Any) -> Progress:
        """It is written down that it will be asked under the lease 2."""
        return (await self.begin(self.order(**changes), Progress())).progress

    async def found(self, progress: Progress, now: float = ASKED) -> Progress:
        """What whoever comes after a crash knows."""
        self.now = now
        return await self.remote.find(self.order(fence=3), progress)

    def ours(self, count: int = 2, mark: str = "batch_1", **more: Any) -> str:
        """A batch that was made there."""
        params = json.loads(BODY) | {"model": "up-1"}
        return self.provider.add(
            [{"custom_id": f"{mark}-{at}", "params": params} for at in range(1, count + 1)], **more
        )


@pytest.fixture
def world() -> World:
    return World()


async def test_a_batch_is_made_in_two_steps_as_the_provider_documents_it(world: World) -> None:
    order = world.order(headers={"anthropic-version": "2026-10-21", "anthropic-beta": "some-beta"})
    step = await world.begin(order, Progress())
    assert (step.progress.ask, step.progress.asked_at, step.seconds, world.provider.asked) == (2, ASKED, 0.0, [])
    step = await world.begin(order._replace(fence=2), step.progress)
    sent = world.wire.headers
    assert (step.progress.batch, sent["anthropic-beta"], sent["anthropic-version"]) == (
        "msgbatch_0",
        "some-beta",
        "2026-10-21",
    )
    [requests] = world.provider.inputs
    assert [one["custom_id"] for one in requests] == ["batch_1-1", "batch_1-2"]
    assert requests[0]["params"] == {"model": "up-1", "max_tokens": 8, "messages": []}
    assert not (await world.remote.state("msgbatch_0")).is_over
    await world.remote.cancel("msgbatch_0")
    assert world.provider.batches["msgbatch_0"]["status"] == "cancelling"
    world.provider.end("cancelled", 1)
    state = await world.remote.state("msgbatch_0")
    assert (state.is_over, state.problem) == (True, "ended with 1 canceled and 0 expired requests")
    assert [one.number async for one in world.remote.results(order, state)] == [1]
    assert "anthropic-beta" not in world.wire.headers
    assert world.wire.headers["anthropic-version"] == "2026-10-21"


async def test_a_batch_that_nobody_could_write_down_is_found_when_it_has_ended_and_not_begun_again(
    world: World,
) -> None:
    progress = await world.written()
    world.ours(mark="somebody")
    name = world.ours()
    world.ours(count=3)
    assert await world.found(progress) == progress
    assert await world.found(progress, SETTLED) == progress
    world.provider.end()
    assert (await world.found(progress, SETTLED)).batch == name


async def test_somebody_elses_batches_are_waited_for_while_they_may_be_ours_and_are_not_taken(world: World) -> None:
    progress = await world.written()
    world.ours(mark="somebody")
    assert await world.found(progress, SETTLED) == progress
    world.provider.end()
    assert await world.found(progress, SETTLED - 1.0) == progress
    found = await world.found(progress, SETTLED)
    assert (found.batch, found.is_asked) == ("", False)


@pytest.mark.parametrize("created_at", [ASKED - CLOCKS_SECONDS - 1.0, SETTLED + CLOCKS_SECONDS + 1.0])
async def test_batches_of_another_time_are_not_waited_for(world: World, created_at: float) -> None:
    progress = await world.written()
    world.ours(created_at=created_at)
    assert not (await world.found(progress, SETTLED)).is_asked


async def test_a_batch_is_found_on_a_later_page_unless_there_are_too_many(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = await world.written()
    for _ in range(150):
        world.ours(count=1, created_at=ASKED - CLOCKS_SECONDS - 1.0)
    name = world.ours()
    for _ in range(250):
        world.ours(count=1)
    world.provider.end()
    assert (await world.found(progress, SETTLED)).batch == name
    # What was made before that time is not looked through.
    assert sum("limit=100" in one for one in world.provider.asked) == 3
    monkeypatch.setattr(anthropic, "MAX_PAGES", 2)
    assert await world.found(progress, SETTLED) == progress


async def test_whoever_has_the_lease_that_was_written_down_asks_without_looking(world: World) -> None:
    progress = await world.written()
    assert await world.remote.find(world.order(fence=2), progress) == progress
    assert world.provider.asked == []


@pytest.mark.parametrize(
    "lost",
    [
        UpstreamBroken(),
        UpstreamTimeout(),
        UpstreamRejected(status=503, kind="k"),
        UpstreamRejected(status=408, kind="k"),
        UpstreamRejected(status=409, kind="k"),
    ],
)
async def test_a_question_whose_answer_is_lost_is_in_doubt(world: World, lost: UpstreamError) -> None:
    progress = await world.written()
    world.wire.lost = lost
    step = await world.begin(world.order(fence=2), progress)
    assert (step.progress, step.seconds, step.refusal) == (progress, FAILED_SECONDS, None)
    world.provider.end()
    assert (await world.found(progress)).batch == "msgbatch_0"


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamUnreachable(),
        UpstreamTimeout(code=CONNECT_TIMEOUT),
        UpstreamRejected(status=429, kind="k", is_retryable=True),
        UpstreamRejected(status=400, kind="k"),
    ],
)
async def test_a_refusal_has_begun_nothing(world: World, failure: UpstreamError) -> None:
    progress = await world.written()
    world.wire.failure = failure
    step = await world.begin(world.order(fence=2), progress)
    assert (step.refusal, step.progress.is_asked) == (failure, False)


@pytest.mark.parametrize("why", ["lease", "time"])
async def test_a_question_that_comes_too_late_is_given_up_before_its_end(world: World, why: str) -> None:
    progress = await world.written()
    world.is_mine = why != "lease"
    world.now += ASK_SECONDS + 1.0 if why == "time" else 0.0
    step = await world.begin(world.order(fence=2), progress)
    assert (step.progress, world.provider.batches) == (progress, {})


async def test_when_nothing_was_begun_it_is_asked_again_as_long_as_there_is_time(world: World) -> None:
    progress = await world.written()
    again = await world.found(progress, SETTLED)
    step = await world.begin(world.order(fence=3), again)
    assert (step.progress.ask, step.progress.asked_at, step.progress.since) == (4, SETTLED, ASKED)
    assert await world.remote.begin(world.order(fence=3, may_wait=False), again) is None


async def test_what_the_provider_would_not_take_is_not_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest):
        await world.remote.begin(world.order(BODY.replace(b"{", b'{"num_retries":1,', 1)), Progress())
    with pytest.raises(BodyTooLarge):
        await world.remote.begin(world.order(total=100_001), Progress())
    monkeypatch.setattr(anthropic, "MAX_BYTES", 100)
    with pytest.raises(BodyTooLarge):
        await world.remote.begin(world.order(), Progress())
    assert world.provider.asked == []


def test_it_takes_messages_and_chats(world: World) -> None:
    assert world.remote.takes(MESSAGES, {"anthropic-beta": "some-beta"})
    assert world.remote.takes(CHAT, {})
    assert not world.remote.takes("/v1/embeddings", {})
    assert not world.remote.takes(CHAT, {"anthropic-beta": "some-beta"})
    assert not world.remote.takes(MESSAGES, {"x-pointsman-region": "eu"})


async def test_chats_are_put_into_its_words_and_answered_in_their_own(world: World) -> None:
    chat = b'{"model":"house","max_completion_tokens":8,"messages":[{"role":"system","content":"Be brief"},%b]}'
    body = chat % b'{"role":"user","content":"Hello"}'
    order = world.order(body, body, endpoint=CHAT)
    asking = (await world.begin(order, Progress())).progress
    progress = (await world.begin(order._replace(fence=2), asking)).progress
    [asked] = world.provider.inputs
    assert asked[0]["params"]["system"]
    assert (asked[0]["params"]["model"], asked[0]["params"]["max_tokens"]) == ("up-1", 8)
    world.provider.refused = {"2"}
    world.provider.end()
    state = await world.remote.state(progress.batch)
    second, first = [one async for one in world.remote.results(order, state)]
    assert (first.number, first.status, first.usage.output_tokens) == (1, 200, 1)
    answer = json.loads(first.body)
    assert (answer["object"], answer["model"]) == ("chat.completion", "house")
    assert answer["choices"][0]["message"]["content"] == "Hi"
    assert (second.number, second.status) == (2, 400)
    assert json.loads(second.body)["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


async def test_chats_that_cannot_be_put_into_its_words_are_seen_before_it_is_asked(world: World) -> None:
    body = b'{"model":"house","max_tokens":8,"logit_bias":{"1":1},"messages":[{"role":"user","content":"Hello"}]}'
    with pytest.raises(InvalidRequest):
        await world.remote.begin(world.order(body, endpoint=CHAT), Progress())
    assert world.provider.asked == []
