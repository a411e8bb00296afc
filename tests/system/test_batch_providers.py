"""Whole batches are run by a provider: OpenAI's API for that, and Azure's, as they document them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_providers import KEY, BatchProvider, Dialect
from openai import OpenAI
from openai.types import Batch
from system.batching import CHAT, MASTER, OVER, client, jsonl, lines, pressed, read, spend, submit, until
from system.process import Gateway
from system.upstream.answers import answer_to
from system.upstream.script import JSON_TYPE, Answer, Received, error_answer
from system.upstream.server import FakeUpstream

CONFIG = """
model_list:
  - model_name: house
    litellm_params: {{model: {model}, api_base: "{base}", api_key: {key}, batch: provider, {more}
      input_cost_per_token: 0.001, output_cost_per_token: 0.002}}
{other}
router_settings: {{num_retries: 0}}
general_settings: {{master_key: {master}}}
"""
ONLINE = """
  - model_name: house
    litellm_params: {{model: azure/online, api_base: "{base}", api_key: {key}}}
"""
"""What answers requests at Azure, where the other deployment does not."""
HALF = 0.0015
"""US dollars of a line: one token each."""


class World:
    """A provider, and a gateway that is configured for it."""

    def __init__(self, home: Path, dialect: Dialect) -> None:
        self.provider = BatchProvider(dialect)
        self.home = home
        self.upstream = FakeUpstream(self._answer)

    def config(self, more: str = "") -> str:
        model, path = ("azure/gpt5_series/mine", "/openai/v1/") if self.provider.is_azure else ("openai/gpt", "/v1")
        base = f"http://{self.upstream.address}{path}"
        other = ONLINE.format(base=base, key=KEY) if self.provider.is_azure else ""
        return CONFIG.format(model=model, base=base, key=KEY, master=MASTER, more=more, other=other)

    def until(self, look: Callable[[], Any]) -> Any:
        """What there is when there is something; meanwhile the provider is asked without waiting for its turn."""
        return pressed(self.home, look, self.provider.asked)

    def ended(self, openai: OpenAI, batch_id: str) -> Batch:
        """The batch when it is over."""
        found: Batch = self.until(lambda: (now := openai.batches.retrieve(batch_id)).status in OVER and now)
        return found

    def change(self, gateway: Gateway) -> None:
        """Limit the deployment, which is another one then."""
        draft = self.home / "draft.yaml"
        draft.write_text(self.config("rpm: 100, "))
        draft.replace(self.home / "config.yaml")
        until(lambda: gateway.get("/model/info", key=MASTER).body, lambda body: b'"rpm":100' in body)

    def _answer(self, received: Received) -> Answer:
        if received.target.endswith("/chat/completions"):
            if received.json["model"] == "mine":
                kind = "OperationNotSupported"
                return error_answer(400, "The operation does not work with the specified model", kind=kind)
            return answer_to(Received("POST", CHAT, [], received.body))
        status, body = self.provider.answer(received.method, received.target, dict(received.headers), received.body)
        return Answer(status, (JSON_TYPE,), (body,))


@pytest.fixture(params=["openai", "azure"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(tmp_path, request.param)
    with made.upstream:
        yield made


@pytest.mark.requirement("batches.provider")
def test_a_batch_is_run_by_the_provider_whatever_is_changed_of_its_deployment_meanwhile(world: World) -> None:
    world.provider.refused = {"2"}
    with Gateway(world.home, world.config()) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(4)))
        world.until(lambda: world.provider.files)
        world.provider.processed()
        world.until(lambda: world.provider.batches)
        [asked] = world.provider.inputs
        assert {line["body"]["model"] for line in asked} == {"mine" if world.provider.is_azure else "gpt"}
        world.change(gateway)
        world.provider.end()
        batch = world.ended(openai, made.id)
        assert batch.status == "completed"
        assert batch.request_counts is not None
        assert (batch.request_counts.completed, batch.request_counts.failed) == (3, 1)
        output, errors = read(openai, batch.output_file_id), read(openai, batch.error_file_id)
        assert sorted(one["custom_id"] for one in output) == ["line-0", "line-2", "line-3"]
        assert {one["response"]["body"]["model"] for one in output} == {"house"}
        assert [(one["custom_id"], one["response"]["status_code"]) for one in errors] == [("line-1", 400)]
        rows = spend(gateway, MASTER, 4)
        assert sum(row["spend"] for row in rows) == pytest.approx(3 * HALF)
    assert sum(one.startswith("POST") for one in world.provider.asked) == 2


@pytest.mark.requirement("batches.provider")
def test_what_the_provider_has_not_run_is_run_here(world: World) -> None:
    with Gateway(world.home, world.config()) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(3)))
        world.until(lambda: world.provider.files)
        world.provider.processed()
        world.until(lambda: world.provider.batches)
        world.provider.end("cancelled", 1)
        batch = world.ended(openai, made.id)
        assert (batch.status, len(read(openai, batch.output_file_id))) == ("completed", 3)


@pytest.mark.requirement("batches.cancel")
def test_a_batch_that_is_cancelled_is_cancelled_there_and_told_as_that(world: World) -> None:
    with Gateway(world.home, world.config()) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(3)))
        world.until(lambda: world.provider.files)
        world.provider.processed()
        world.until(lambda: world.provider.batches)
        world.provider.begin()
        assert openai.batches.cancel(made.id).status == "cancelling"
        world.until(lambda: any("/cancel" in one for one in world.provider.asked))
        world.provider.end("cancelled", 1)
        batch = world.ended(openai, made.id)
        assert batch.status == "cancelled"
        assert len(read(openai, batch.output_file_id)) == 1
        errors = read(openai, batch.error_file_id)
        assert [one["error"]["code"] for one in errors] == ["batch_cancelled"] * 2


def test_a_batch_whose_lines_say_how_they_are_to_be_served_never_reaches_the_provider(tmp_path: Path) -> None:
    world = World(tmp_path, "openai")
    with world.upstream, Gateway(world.home, world.config()) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl([*lines(2), *lines(1, num_retries=1, metadata={"tags": ["x"]})][1:]))
        assert world.ended(openai, made.id).status == "completed"
    assert not world.provider.files
    assert not world.provider.batches
