from __future__ import annotations

import json

import pytest
from batch_wires import CHAT, MESSAGES, Wire, order_of, target_at
from gemini_batch_provider import GeminiBatchProvider
from msgspec.structs import replace

from pointsman.batches.protocol.providers.base import Got, Progress
from pointsman.batches.remotes import gemini, http
from pointsman.batches.remotes.base import Order, Step
from pointsman.batches.remotes.gemini import PENDING_SECONDS, GeminiRemote
from pointsman.errors import InvalidRequest, UpstreamBroken, UpstreamRejected

BODY = b'{"model":"house","messages":[{"role":"user","content":"Hello"}]}'
MAKE = "POST /v1beta/models/up-1:batchGenerateContent"


class World:
    """A project, and somebody who has batches run there."""

    def __init__(self) -> None:
        self.provider = GeminiBatchProvider()
        self.wire = Wire(self.provider.answer)
        self.remote = GeminiRemote(target_at(self.wire, "gemini"))

    async def begin(self, progress: Progress, order: Order | None = None) -> Step:
        step = await self.remote.begin(order or order_of(BODY, BODY), progress)
        assert step is not None
        return step

    async def begun(self, order: Order) -> Progress:
        """All steps."""
        progress = (await self.begin(Progress(), order)).progress
        self.provider.processed()
        return (await self.begin(progress, order)).progress

    async def results(self, order: Order, batch: str) -> list[Got]:
        return [one async for one in self.remote.results(order, await self.remote.state(batch))]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_file_is_announced_sent_and_made_a_batch_of(world: World) -> None:
    step = await world.begin(Progress())
    assert (step.progress.file, step.progress.since, step.seconds) == ("files/input-1", 1000.0, 0.0)
    [announced] = world.provider.uploads
    assert announced["about"]["displayName"] == "batch_1"
    assert [json.loads(one)["key"] for one in world.provider.files["files/input-1"].splitlines()] == ["1", "2"]
    step = await world.begin(step.progress)
    assert (step.progress.batch, step.seconds) == ("", PENDING_SECONDS)
    world.provider.processed()
    step = await world.begin(step.progress)
    assert step.progress.batch == "batches/b0"
    assert MAKE not in world.wire.repeatable


async def test_the_place_for_a_file_is_one_of_the_configured_host_whatever_it_is_called(world: World) -> None:
    world.provider.host = "elsewhere.test:1"
    await world.begin(Progress())
    assert world.provider.asked[-1] == "POST /upload/v1beta/files?upload_id=1&upload_protocol=resumable"


async def test_without_a_place_for_it_no_file_is_sent(world: World) -> None:
    world.wire.answer = lambda *_: (200, b"{}")
    with pytest.raises(UpstreamBroken):
        await world.begin(Progress())
    assert len(world.wire.repeatable) == 1


async def test_lines_that_cannot_be_put_in_its_words_are_seen_before_anything_is_sent(world: World) -> None:
    with pytest.raises(InvalidRequest):
        await world.begin(Progress(), order_of(BODY, b'{"model":"house","messages":[{"role":"user"}]}'))
    assert world.provider.asked == []


async def test_a_batch_is_found_among_many_by_its_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = await world.begun(order_of(BODY, mark="batch_0"))
    for number in range(1, 250):
        world.provider.batches[f"batches/b{number}"] = dict(
            world.provider.batches["batches/b0"], about={"displayName": f"batch_{number}"}
        )
    lost = replace(progress, batch="")
    found = await world.remote.find(order_of(BODY, mark="batch_0"), lost)
    assert found == progress
    # Somebody else's, with all that came of it.
    world.provider.batches["batches/b249"]["about"] |= {"output": {"inlinedResponses": "x" * http.MAX_TOLD}}
    assert await world.remote.find(order_of(BODY, mark="batch_0"), lost) == progress
    assert await world.remote.find(order_of(BODY, mark="batch_250"), lost) == lost
    monkeypatch.setattr(gemini, "MAX_PAGES", 2)
    assert await world.remote.find(order_of(BODY, mark="batch_0"), lost) == lost


async def test_results_are_answers_to_the_lines_that_were_asked(world: World) -> None:
    order = order_of(BODY, BODY, BODY)
    progress = await world.begun(order)
    assert not (await world.remote.state(progress.batch)).is_over
    await world.remote.cancel(progress.batch)
    assert not (await world.remote.state(progress.batch)).is_over
    world.provider.refused = {"2"}
    world.provider.end("cancelled", 2)
    state = await world.remote.state(progress.batch)
    assert (state.is_over, state.problem) == (True, "CANCELLED: ")
    first, second = await world.results(order, progress.batch)
    assert (first.number, first.status, first.request_id) == (1, 200, "batch_1-1")
    assert json.loads(first.body)["model"] == "house"
    assert (first.usage.input_tokens, first.usage.output_tokens) == (1, 1)
    assert (second.number, second.status, second.usage.total_tokens) == (2, 400, 0)
    assert json.loads(second.body)["error"]["message"] == "no"


async def test_a_batch_of_which_nothing_was_run_has_no_results(world: World) -> None:
    order = order_of(BODY)
    progress = await world.begun(order)
    world.provider.end("expired", 0)
    assert await world.results(order, progress.batch) == []


async def test_lines_of_results_that_are_none_of_ours_are_passed_over(world: World) -> None:
    order = order_of(BODY)
    progress = await world.begun(order)
    world.provider.end()
    [file] = (await world.remote.state(progress.batch)).results
    answer = world.provider.files[file]
    world.provider.files[file] = answer.replace(b'"1"', b'"2"') + b"nothing\n" + answer.replace(b'"1"', b'"x"') + answer
    assert [one.number for one in await world.results(order, progress.batch)] == [1]


async def test_an_answer_that_nobody_can_read_is_told_as_a_failure(world: World) -> None:
    order = order_of(BODY)
    progress = await world.begun(order)
    world.provider.end()
    [file] = (await world.remote.state(progress.batch)).results
    world.provider.files[file] = b'{"key":"1","response":[]}\n'
    [one] = await world.results(order, progress.batch)
    assert (one.status, json.loads(one.body)["error"]["code"]) == (502, "upstream_broken")


async def test_names_are_put_into_paths_as_text(world: World) -> None:
    with pytest.raises(UpstreamRejected):
        await world.remote.cancel("../a?b c")
    assert world.provider.asked == ["POST /v1beta/batches/..%2Fa%3Fb%20c:cancel"]


def test_it_takes_chats_and_messages_and_no_header_that_each_would_need(world: World) -> None:
    assert world.remote.takes(CHAT, {})
    assert world.remote.takes(MESSAGES, {"anthropic-version": "2023-06-01", "anthropic-beta": "x"})
    assert not world.remote.takes(CHAT, {"x-litellm-tags": "night"})
    assert not world.remote.takes("/v1/embeddings", {})
