"""Whole batches are run by Anthropic: its API for message batches, as it documents it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from message_batch_provider import KEY, ROOT, MessageBatchProvider, message
from system.batching import MASTER, client, jsonl, line, lines, pressed, read, spend, submit
from system.process import Gateway
from system.upstream.script import JSON_TYPE, Answer, End, Received, json_answer
from system.upstream.server import FakeUpstream

CONFIG = """
model_list:
  - model_name: house
    litellm_params: {{model: anthropic/claude-x, api_base: "{base}", api_key: {key}, batch: provider,
      input_cost_per_token: 0.001, output_cost_per_token: 0.002}}
router_settings: {{num_retries: 0}}
batches: {{lease_seconds: 1}}
general_settings: {{master_key: {master}}}
"""
FULL = 0.003
"""US dollars of a line: one token each."""
BETA = "some-beta-2026-01-01"


class World:
    """A provider, and a gateway that is configured for it."""

    def __init__(self, home: Path) -> None:
        self.provider = MessageBatchProvider()
        self.home = home
        self.upstream = FakeUpstream(self._answer)
        self.online = 0
        """Messages that were asked for one by one."""
        self.instead: dict[str, Callable[[Answer], Answer]] = {}
        """By method and path: what becomes of an answer that was given."""
        self.headers: dict[str, str] = {}
        """Of the last question for a batch."""

    def config(self) -> str:
        return CONFIG.format(base=f"http://{self.upstream.address}", key=KEY, master=MASTER)

    def until(self, look: Callable[[], Any]) -> Any:
        return pressed(self.home, look, self.provider.asked)

    def begun(self, sdk: Anthropic, **params: Any) -> str:
        """A batch that the provider has; the gateway's id of it."""
        made = sdk.messages.batches.create(requests=requests(3, **params))
        self.until(lambda: self.provider.batches)
        return made.id

    def results(self, sdk: Anthropic, batch_id: str) -> dict[str, Any]:
        """By the ids of their requests, when it has ended."""
        batches = sdk.messages.batches
        self.until(lambda: batches.retrieve(batch_id).processing_status == "ended")
        return {one.custom_id: one.result for one in batches.results(batch_id)}

    def posts(self) -> int:
        """How often a batch was asked for."""
        return self.provider.asked.count(f"POST {ROOT}")

    def _answer(self, received: Received) -> Answer:
        if received.target == "/v1/messages":
            self.online += 1
            return json_answer(message(received.json["model"]))
        if (received.method, received.target) == ("POST", ROOT):
            self.headers = dict(received.headers)
        status, body = self.provider.answer(received.method, received.target, dict(received.headers), received.body)
        answer = Answer(status, (JSON_TYPE,), (body,))
        change = self.instead.pop(f"{received.method} {received.target}", None)
        return answer if change is None else change(answer)


def requests(count: int, **params: Any) -> Any:
    said = [{"role": "user", "content": "Hello"}]
    body = {"model": "house", "max_tokens": 8, "messages": said} | params
    return [{"custom_id": f"r{number}", "params": body} for number in range(count)]


def sdk_of(gateway: Gateway) -> Anthropic:
    return Anthropic(base_url=gateway.base_url, api_key=MASTER, max_retries=0, timeout=30)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.upstream:
        yield made


@pytest.mark.requirement("batches.provider", "batches.anthropic")
def test_the_sdks_batch_is_run_by_the_provider_and_paid_for_at_half_the_price(world: World) -> None:
    world.provider.refused, world.provider.failure = {"2"}, "overloaded_error"
    with Gateway(world.home, world.config()) as gateway, sdk_of(gateway) as sdk:
        made = sdk.messages.batches.create(requests=requests(4), extra_headers={"anthropic-beta": BETA})
        world.until(lambda: world.provider.batches)
        [asked] = world.provider.inputs
        assert [one["custom_id"] for one in asked] == [f"{made.id}-{number}" for number in range(1, 5)]
        assert {one["params"]["model"] for one in asked} == {"claude-x"}
        assert world.headers["anthropic-beta"] == BETA
        assert "transfer-encoding" not in world.headers
        # The version that the SDK speaks.
        assert world.headers["anthropic-version"] == sdk.default_headers["anthropic-version"]
        world.provider.end()
        results = world.results(sdk, made.id)
        assert [results[name].type for name in sorted(results)] == ["succeeded", "errored", "succeeded", "succeeded"]
        assert {one.message.model for one in results.values() if one.type == "succeeded"} == {"house"}
        assert results["r1"].error.error.type == "overloaded_error"
        counts = sdk.messages.batches.retrieve(made.id).request_counts
        assert (counts.succeeded, counts.errored) == (3, 1)
        rows = spend(gateway, MASTER, 4)
        assert sum(row["spend"] for row in rows) == pytest.approx(3 * FULL / 2)
    assert (world.posts(), world.online) == (1, 0)


def test_a_batch_of_messages_in_openais_words_is_run_there_too(world: World) -> None:
    with Gateway(world.home, world.config()) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(line(f"m{at}", "/v1/messages") for at in range(2)), "/v1/messages")
        world.until(lambda: world.provider.batches)
        world.provider.end()
        batch = world.until(lambda: (now := openai.batches.retrieve(made.id)).status == "completed" and now)
        answers = read(openai, batch.output_file_id)
        assert {one["response"]["body"]["type"] for one in answers} == {"message"}
        other = submit(openai, jsonl(lines(2, logit_bias={"1": 1})))
        world.until(lambda: openai.batches.retrieve(other.id).status == "completed")
    # What cannot be put into its words is no more than a question to it.
    assert world.posts() == 1


@pytest.mark.requirement("batches.provider")
def test_chats_of_openais_sdk_are_run_there_and_answered_as_chats(world: World) -> None:
    world.provider.refused = {"2"}
    with Gateway(world.home, world.config()) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(3)))
        world.until(lambda: world.provider.batches)
        world.provider.end()
        batch: Any = world.until(lambda: (now := openai.batches.retrieve(made.id)).status == "completed" and now)
        answers = {one["custom_id"]: one["response"]["body"] for one in read(openai, batch.output_file_id)}
        assert sorted(answers) == ["line-0", "line-2"]
        assert {(one["object"], one["model"]) for one in answers.values()} == {("chat.completion", "house")}
        [failed] = read(openai, batch.error_file_id)
        assert (failed["custom_id"], failed["response"]["body"]["error"]["message"]) == ("line-1", "no")
        assert sum(row["spend"] for row in spend(gateway, MASTER, 3)) == pytest.approx(2 * FULL / 2)
    assert (world.posts(), world.online) == (1, 0)


@pytest.mark.requirement("batches.killed")
def test_a_gateway_that_is_killed_before_it_knows_the_id_begins_the_batch_no_second_time(world: World) -> None:
    gate = world.upstream.gate()
    world.instead[f"POST {ROOT}"] = lambda answer: Answer(answer.status, answer.headers, (gate, *answer.steps))
    killed = Gateway(world.home, world.config())
    with sdk_of(killed.__enter__()) as sdk:
        made = world.begun(sdk)
        assert gate.reached.wait(20)
        killed.process.kill()
        killed.process.wait(20)
    killed.stop()
    with Gateway(world.home, world.config()) as gateway, sdk_of(gateway) as sdk:
        # It has looked, and waits for what may be it.
        world.until(lambda: sum("limit=100" in one for one in world.provider.asked) >= 2)
        world.provider.end()
        results = world.results(sdk, made)
        assert {one.type for one in results.values()} == {"succeeded"}
        assert sum(row["spend"] for row in spend(gateway, MASTER, 3)) == pytest.approx(3 * FULL / 2)
    assert (world.posts(), world.online) == (1, 0)


def test_a_batch_whose_answer_is_lost_on_the_way_is_found_and_not_begun_again(world: World) -> None:
    world.instead[f"POST {ROOT}"] = lambda answer: Answer(steps=(End.RESET,), framing="raw")
    with Gateway(world.home, world.config()) as gateway, sdk_of(gateway) as sdk:
        made = world.begun(sdk)
        world.provider.add([{"custom_id": f"x-{at}", "params": {"model": "m"}} for at in range(1, 4)])
        world.until(lambda: any("limit=100" in one for one in world.provider.asked))
        world.provider.end()
        assert {one.type for one in world.results(sdk, made).values()} == {"succeeded"}
        assert sum(row["spend"] for row in spend(gateway, MASTER, 3)) == pytest.approx(3 * FULL / 2)
    assert (world.posts(), world.online) == (1, 0)


def test_what_the_provider_refuses_is_run_here(world: World) -> None:
    with Gateway(world.home, world.config()) as gateway, sdk_of(gateway) as sdk:
        made = sdk.messages.batches.create(requests=requests(2, of_tomorrow=1))
        assert {one.type for one in world.results(sdk, made.id).values()} == {"succeeded"}
        assert sum(row["spend"] for row in spend(gateway, MASTER, 2)) == pytest.approx(2 * FULL)
    assert (world.posts(), world.provider.batches, world.online) == (1, {}, 2)


@pytest.mark.parametrize("ending", ["expired", "cancelled"])
def test_what_the_provider_has_not_run_is_run_here(world: World, ending: str) -> None:
    with Gateway(world.home, world.config()) as gateway, sdk_of(gateway) as sdk:
        made = world.begun(sdk)
        world.provider.end(ending, 1)
        assert {one.type for one in world.results(sdk, made).values()} == {"succeeded"}
        assert sum(row["spend"] for row in spend(gateway, MASTER, 3)) == pytest.approx(FULL / 2 + 2 * FULL)
    assert (world.posts(), world.online) == (1, 2)


@pytest.mark.requirement("batches.cancel")
def test_a_batch_that_is_cancelled_is_cancelled_there_and_told_as_that(world: World) -> None:
    with Gateway(world.home, world.config()) as gateway, sdk_of(gateway) as sdk:
        made = world.begun(sdk)
        # Its id is known here.
        world.until(lambda: any(one.startswith(f"GET {ROOT}/") for one in world.provider.asked))
        assert sdk.messages.batches.cancel(made).processing_status == "canceling"
        world.until(lambda: any("/cancel" in one for one in world.provider.asked))
        world.provider.end("cancelled", 1)
        results = world.results(sdk, made)
        assert {name: one.type for name, one in results.items()} == {
            "r0": "succeeded",
            "r1": "canceled",
            "r2": "canceled",
        }
    assert (world.posts(), world.online) == (1, 0)


def test_requests_that_say_how_they_are_to_be_served_never_reach_the_provider(world: World) -> None:
    with Gateway(world.home, world.config()) as gateway, sdk_of(gateway) as sdk:
        ways: tuple[dict[str, Any], ...] = ({"num_retries": 1}, {"metadata": {"tags": ["x"]}})
        made = [sdk.messages.batches.create(requests=requests(2, **way)).id for way in ways]
        region = {"x-litellm-tags": "night"}
        made.append(sdk.messages.batches.create(requests=requests(2), extra_headers=region).id)
        for one in made:
            assert len(world.results(sdk, one)) == 2
    assert world.posts() == 0
