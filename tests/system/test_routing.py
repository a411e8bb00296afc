from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anthropic import Anthropic
from google import genai
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from system.process import Gateway
from system.upstream.script import error_answer
from system.upstream.server import FakeUpstream

from pointsman.ml import files
from pointsman.ml.base import Table
from pointsman.ml.training.fit import train
from pointsman.routing.registry import LEARNED

KEY = "sk-routing-master-77d1"
SUM, POEM = "How much is 12 plus 30, and 7 less?", "Write a poem of the autumn wind, in rhymes."
CONFIG = """
model_list:
  - model_name: counter
    litellm_params: &up
      model: openai/counter-1
      api_base: "{base}"
      api_key: sk-up
      input_cost_per_token: 1e-6
      output_cost_per_token: 1e-6
  - model_name: poet
    litellm_params: {{<<: *up, model: openai/poet-1}}
  - model_name: vectors
    litellm_params: {{<<: *up, model: openai/vectors-1}}
    model_info: {{mode: embedding}}
  - model_name: mixed
    litellm_params: {{<<: *up, model: openai/tiny-1}}
  - model_name: mixed
    litellm_params: {{<<: *up, model: openai/huge-70b, input_cost_per_token: 1e-4, output_cost_per_token: 1e-4}}
  - model_name: learnt
    litellm_params: {{model: router/knn, candidates: [counter, poet], model_path: "{checkpoint}"}}
{others}
router_settings:
  routing_strategy: llmrouter-auto
  num_retries: 0
general_settings: {{master_key: {key}}}
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two models, one of which counts and one of which rhymes."""
    chance = np.random.default_rng(0)
    numbers = chance.integers(10, 100, (100, 3))
    sums = [f"How much is {a} plus {b}, and {c} less?" for a, b, c in numbers[:50]]
    poems = [f"Write a poem of the {word} wind, in rhymes, number {n[0]}." for n in numbers[50:] for word in ["autumn"]]
    quality = np.array([[1.0, 0.0]] * 50 + [[0.0, 1.0]] * 50, np.float32)
    table = Table(
        prompts=sums + poems, models=("counter", "poet"), quality=quality, cost_usd=np.full((100, 2), 1e-4, np.float32)
    )
    trained = train(table, "knn")
    directory = tmp_path_factory.mktemp("learnt") / "checkpoint"
    files.write(directory, trained.packed(trained.about(created="2026-01-01T00:00:00Z", sources=())))
    return directory


def _config(upstream: FakeUpstream, checkpoint: Path) -> str:
    names = [name for name in LEARNED if name not in {"custom", "knn"}]
    others = "\n".join(
        f"  - {{model_name: by-{name}, litellm_params: {{model: router/{name}, candidates: [counter, poet]}}}}"
        for name in names
    )
    return CONFIG.format(base=upstream.base_url, checkpoint=checkpoint, key=KEY, others=others)


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("routing"), _config(upstream, checkpoint)) as running:
        running.key = KEY
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.base_url}/v1", api_key=KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


def _said(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def _ask(client: OpenAI, text: str, model: str = "learnt", **more: Any) -> tuple[str, dict[str, str]]:
    """The model and the headers of the reply."""
    reply = client.chat.completions.with_raw_response.create(model=model, messages=_said(text), **more)
    return reply.parse().model, {name.lower(): value for name, value in reply.headers.items()}


@pytest.mark.requirement("routing.learned.prompt", "routing.learned.headers")
def test_each_prompt_goes_to_the_model_that_is_good_at_it_and_the_reply_says_so(client: OpenAI) -> None:
    model, headers = _ask(client, SUM)
    assert (model, headers["x-pointsman-routed-model"]) == ("counter", "counter")
    assert headers["x-pointsman-checkpoint"].startswith("knn@")
    assert headers["x-pointsman-reason"] in {"gain", "baseline"}
    assert float(headers["x-pointsman-predicted-cost"]) == pytest.approx(1e-4, rel=0.2)
    assert float(headers["x-pointsman-predicted-quality"]) > 0.7
    assert _ask(client, POEM)[0] == "poet"


@pytest.mark.requirement("routing.learned.dialects")
def test_streams_are_routed(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="learnt", messages=_said(POEM), stream=True
    ) as reply:
        assert reply.headers["x-pointsman-routed-model"] == "poet"
        chunks = list(reply.parse())
    assert {chunk.model for chunk in chunks} == {"poet"}


@pytest.mark.requirement("routing.learned.dialects")
def test_every_sdk_is_routed(gateway: Gateway, client: OpenAI) -> None:
    assert client.responses.create(model="learnt", input=POEM).model == "poet"
    assert client.completions.create(model="learnt", prompt=POEM).model == "poet"
    with Anthropic(base_url=gateway.base_url, api_key=KEY, max_retries=0) as anthropic:
        message = anthropic.messages.create(model="learnt", max_tokens=50, messages=[{"role": "user", "content": POEM}])
    assert message.model == "poet"
    google = genai.Client(api_key=KEY, http_options={"base_url": gateway.base_url})
    assert google.models.generate_content(model="learnt", contents=POEM).model_version == "poet"


@pytest.mark.requirement("routing.learned.knobs")
def test_knobs_are_heeded_and_do_not_reach_the_upstream(client: OpenAI, upstream: FakeUpstream) -> None:
    more: dict[str, Any] = {"extra_body": {"pointsman": {"quality": 0.0}}, "metadata": {"min_quality": "0", "a": "b"}}
    assert _ask(client, SUM, **more)[0] == "counter"
    sent = upstream.requests("counter-1")[-1].json
    assert "pointsman" not in sent
    assert sent["metadata"] == {"a": "b"}
    headers = {"x-pointsman-quality": "much"}
    with pytest.raises(Exception, match="x-pointsman-quality"):
        _ask(client, SUM, "auto", extra_headers=headers)


@pytest.mark.requirement("routing.learned.names")
@pytest.mark.parametrize("name", ["auto", "auto:cheap", "auto:best", "auto:0.7", "router-mf-0.116", "learnt:0.2"])
def test_names_with_a_knob_are_understood(client: OpenAI, name: str) -> None:
    _, headers = _ask(client, SUM, name)
    assert headers["x-pointsman-routed-model"]


@pytest.mark.requirement("routing.learned.filters")
def test_where_the_chosen_one_fails_the_next_one_answers(client: OpenAI, upstream: FakeUpstream) -> None:
    upstream.answers("poet-1", error_answer(503, "Tired", kind="overloaded_error"))
    model, headers = _ask(client, POEM)
    assert (model, headers["x-pointsman-routed-model"]) == ("counter", "poet")
    assert headers["x-litellm-attempted-fallbacks"] == "1"


@pytest.mark.requirement("routing.learned.groups")
def test_a_group_of_several_upstream_models_chooses_and_other_names_are_left_alone(client: OpenAI) -> None:
    best = _ask(client, SUM, "mixed:best")
    assert (best[0], best[1]["x-pointsman-routed-model"]) == ("mixed", "huge-70b")
    assert _ask(client, SUM, "mixed:0")[1]["x-pointsman-routed-model"] == "tiny-1"
    model, headers = _ask(client, POEM, "counter")
    assert model == "counter"
    assert "x-pointsman-routed-model" not in headers


@pytest.mark.requirement("routing.learned.strategies")
@pytest.mark.parametrize("name", [name for name in LEARNED if name not in {"custom", "knn"}])
def test_each_strategy_serves_without_a_checkpoint(client: OpenAI, name: str) -> None:
    model, _ = _ask(client, SUM, f"by-{name}")
    assert model in {"counter", "poet"}


def test_what_is_no_conversation_is_refused(client: OpenAI) -> None:
    with pytest.raises(Exception, match="for conversations only"):
        client.embeddings.create(model="auto", input="x")


@pytest.mark.requirement("router.info", "router.explain")
def test_what_would_be_done_is_told_without_doing_it(gateway: Gateway, upstream: FakeUpstream) -> None:
    before = len(upstream.requests("poet-1"))
    told = gateway.post("/router/explain", {"model": "learnt", "prompt": POEM}).json
    assert told["chosen"] == "poet"
    assert [row["model"] for row in told["candidates"]] == ["poet", "counter"]
    assert len(upstream.requests("poet-1")) == before
    models = {one["model"]: one for one in gateway.get("/router/info").json["routed_models"]}
    assert {"auto", "mixed", "learnt"} <= models.keys()
    assert [one["model"] for one in models["learnt"]["candidates"]] == ["counter", "poet"]
    assert models["learnt"]["checkpoint"]["id"]
    assert models["auto"]["checkpoint"]["decides_by"] == "prior"


@pytest.mark.requirement("routing.learned.metrics")
def test_decisions_are_counted(gateway: Gateway, client: OpenAI) -> None:
    _ask(client, SUM)
    shown = gateway.get("/metrics").body.decode()
    assert 'pointsman_routing_decisions_total{chosen_model="counter"' in shown
    assert 'pointsman_routing_decision_seconds_count{requested_model="learnt"}' in shown
