"""Whole batches are run by Gemini, in its own words: its files and its batches, as it documents them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from gemini_batch_provider import KEY, GeminiBatchProvider, answer_of
from google import genai
from google.genai import types
from openai import OpenAI
from openai.types import Batch
from system.batching import MASTER, OVER, client, jsonl, lines, pressed, read, spend, submit
from system.process import Gateway
from system.upstream.script import JSON_TYPE, Answer, Received, json_answer
from system.upstream.server import FakeUpstream

CONFIG = """
model_list:
  - model_name: house
    litellm_params: {{model: gemini/gemini-up, api_base: "{base}", api_key: {key}, batch: provider,
      input_cost_per_token: 0.001, output_cost_per_token: 0.002}}
router_settings: {{num_retries: 0}}
batches: {{lease_seconds: 1}}
general_settings: {{master_key: {master}}}
"""
FULL = 0.003
"""US dollars of a line: one token each."""
MAKE = "POST /v1beta/models/gemini-up:batchGenerateContent"


class World:
    """A provider, and a gateway that is configured for it."""

    def __init__(self, home: Path) -> None:
        self.provider = GeminiBatchProvider()
        self.home = home
        self.upstream = FakeUpstream(self._answer)
        self.online = 0
        """Requests that were asked one by one."""
        self.instead: dict[str, Callable[[Answer], Answer]] = {}
        """By method and path: what becomes of an answer that was given."""

    def config(self) -> str:
        return CONFIG.format(base=f"http://{self.upstream.address}/v1beta", key=KEY, master=MASTER)

    def until(self, look: Callable[[], Any]) -> Any:
        return pressed(self.home, look, self.provider.asked)

    def made(self, openai: OpenAI, count: int, **more: Any) -> str:
        """A batch that the provider has; the gateway's id of it."""
        made = submit(openai, jsonl(lines(count, **more)))
        self.until(lambda: self.provider.files)
        self.provider.processed()
        self.until(lambda: self.provider.batches)
        return made.id

    def ended(self, openai: OpenAI, batch_id: str) -> Batch:
        """The batch when it is over."""
        found: Batch = self.until(lambda: (now := openai.batches.retrieve(batch_id)).status in OVER and now)
        return found

    def _answer(self, received: Received) -> Answer:
        if received.target.endswith(":generateContent"):
            self.online += 1
            return json_answer(answer_of())
        self.provider.host = dict(received.headers)["host"]
        status, body, more = self.provider.answer(
            received.method, received.target, dict(received.headers), received.body
        )
        answer = Answer(status, (JSON_TYPE, *more), (body,))
        change = self.instead.pop(f"{received.method} {received.target}", None)
        return answer if change is None else change(answer)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.upstream:
        yield made


def test_googles_own_client_takes_the_provider_for_what_it_stands_for(world: World, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    request = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    file.write_bytes(jsonl([{"key": "1", "request": request}, {"key": "2", "request": request}]))
    world.provider.refused = {"2"}
    options = types.HttpOptions(base_url=f"http://{world.upstream.address}", api_version="v1beta", timeout=20_000)
    # It follows the address that it is given for its file, which is one of https.
    world.instead["POST /upload/v1beta/files"] = lambda answer: Answer(
        answer.status, [(name, value.replace("https:", "http:")) for name, value in answer.headers], answer.steps
    )
    google = genai.Client(api_key=KEY, http_options=options, vertexai=False)
    sent = google.files.upload(file=str(file), config={"display_name": "mine", "mime_type": "application/jsonl"})
    assert (sent.state, google.files.get(name=sent.name or "").state) == (types.FileState.PROCESSING,) * 2
    world.provider.processed()
    made = google.batches.create(model="gemini-up", src=sent.name or "", config={"display_name": "batch_1"})
    assert (made.state, made.display_name) == (types.JobState.JOB_STATE_PENDING, "batch_1")
    world.provider.begin()
    name = made.name or ""
    assert google.batches.get(name=name).state == types.JobState.JOB_STATE_RUNNING
    assert [one.name for one in google.batches.list(config={"page_size": 1})] == [name]
    google.batches.cancel(name=name)
    world.provider.end("cancelled")
    over = google.batches.get(name=name)
    assert over.state == types.JobState.JOB_STATE_CANCELLED
    assert over.dest is not None
    first, second = google.files.download(file=over.dest.file_name or "").splitlines()
    assert b'"response"' in first
    assert b'"error"' in second


@pytest.mark.requirement("batches.provider")
def test_chats_are_run_by_the_provider_in_its_words_and_paid_for_at_half_the_price(world: World) -> None:
    world.provider.refused = {"2"}
    with Gateway(world.home, world.config()) as gateway, client(gateway) as openai:
        made = world.made(openai, 4)
        [asked] = world.provider.inputs
        assert [one["request"]["generationConfig"] for one in asked] == [{"maxOutputTokens": 8}] * 4
        world.provider.end()
        batch = world.ended(openai, made)
        assert (batch.status, batch.request_counts and batch.request_counts.completed) == ("completed", 3)
        answers = {one["custom_id"]: one["response"] for one in read(openai, batch.output_file_id)}
        assert sorted(answers) == ["line-0", "line-2", "line-3"]
        assert {one["body"]["model"] for one in answers.values()} == {"house"}
        assert {one["body"]["choices"][0]["message"]["content"] for one in answers.values()} == {"Hi"}
        [failed] = read(openai, batch.error_file_id)
        assert (failed["custom_id"], failed["response"]["status_code"]) == ("line-1", 400)
        assert sum(row["spend"] for row in spend(gateway, MASTER, 4)) == pytest.approx(3 * FULL / 2)
    assert (world.provider.asked.count(MAKE), world.online) == (1, 0)


@pytest.mark.requirement("batches.anthropic")
def test_messages_of_anthropics_sdk_are_run_there_too(world: World) -> None:
    said: Any = {"model": "house", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}
    with (
        Gateway(world.home, world.config()) as gateway,
        Anthropic(base_url=gateway.base_url, api_key=MASTER, max_retries=0, timeout=30) as sdk,
    ):
        made = sdk.messages.batches.create(requests=[{"custom_id": "a", "params": said}])
        world.until(lambda: world.provider.files)
        world.provider.processed()
        world.until(lambda: world.provider.batches)
        world.provider.end()
        world.until(lambda: sdk.messages.batches.retrieve(made.id).processing_status == "ended")
        [one] = sdk.messages.batches.results(made.id)
        assert one.result.type == "succeeded"
        assert (one.result.message.model, one.result.message.usage.output_tokens) == ("house", 1)
    assert world.online == 0


@pytest.mark.requirement("batches.killed")
def test_a_batch_that_was_made_when_its_gateway_was_killed_is_made_no_second_time(world: World) -> None:
    gate = world.upstream.gate()
    world.instead[MAKE] = lambda answer: Answer(answer.status, answer.headers, (gate, *answer.steps))
    killed = Gateway(world.home, world.config())
    with client(killed.__enter__()) as openai:
        made = world.made(openai, 2)
        assert gate.reached.wait(20)
        killed.process.kill()
        killed.process.wait(20)
    killed.stop()
    world.provider.end()
    with Gateway(world.home, world.config()) as gateway, client(gateway) as openai:
        batch = world.ended(openai, made)
        assert batch.request_counts is not None
        assert batch.request_counts.completed == 2
        assert sum(row["spend"] for row in spend(gateway, MASTER, 2)) == pytest.approx(FULL)
    assert (world.provider.asked.count(MAKE), world.online) == (1, 0)


def test_lines_that_the_provider_has_not_run_or_cannot_be_told_are_run_here(world: World) -> None:
    with Gateway(world.home, world.config()) as gateway, client(gateway) as openai:
        made = world.made(openai, 3)
        world.provider.end("expired", 1)
        counts = world.ended(openai, made).request_counts
        assert counts is not None
        assert counts.completed == 3
        assert sum(row["spend"] for row in spend(gateway, MASTER, 3)) == pytest.approx(FULL / 2 + 2 * FULL)
        other = submit(openai, jsonl(lines(1, logit_bias={"1": 1})))
        assert world.ended(openai, other.id).status == "completed"
    assert (world.provider.asked.count(MAKE), world.online) == (1, 2)
