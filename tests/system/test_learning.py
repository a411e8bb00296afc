from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from system.process import Gateway
from system.upstream.server import FakeUpstream

from pointsman.ml.decisionlog import read

KEY = "sk-learning-master-5c2e"
CONFIG = """
model_list:
  - model_name: dear
    litellm_params: &up
      model: openai/dear-1
      api_base: "{base}"
      api_key: sk-up
      input_cost_per_token: 1e-5
      output_cost_per_token: 1e-5
  - model_name: fair
    litellm_params: {{<<: *up, model: openai/fair-1, input_cost_per_token: 5e-6, output_cost_per_token: 5e-6}}
router_settings:
  routing_strategy: llmrouter-auto
  routing_strategy_args: {{online_learning: true, exploration_share: 0.0, candidates: [dear, fair]}}
general_settings: {{master_key: {key}}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def gateway(upstream: FakeUpstream, home: Path) -> Iterator[Gateway]:
    with Gateway(home, CONFIG.format(base=upstream.base_url, key=KEY)) as running:
        yield running


def call(gateway: Gateway, path: str, body: Any = None, key: str = KEY) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(gateway.base_url + path, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ask(gateway: Gateway, text: str) -> tuple[str, str]:
    """The id of the request, and the model that answered."""
    with OpenAI(base_url=f"{gateway.base_url}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        reply = client.chat.completions.with_raw_response.create(
            model="auto:best", messages=[{"role": "user", "content": text}]
        )
    return reply.headers["x-request-id"], reply.headers["x-pointsman-routed-model"]


@pytest.mark.requirement("routing.feedback.learnt", "routing.feedback.rating", "routing.log.written")
@pytest.mark.requirement("routing.online.kept")
def test_ratings_change_where_prompts_go_and_are_remembered(
    gateway: Gateway, home: Path, upstream: FakeUpstream
) -> None:
    models = []
    for i in range(20):
        request_id, model = ask(gateway, f"Question {i}")
        status, said = call(gateway, "/router/feedback", {"request_id": request_id, "thumbs": model == "fair"})
        assert (status, said["status"]) == (200, "taken")
        models.append(model)
    assert (models[0], models[-1]) == ("dear", "fair")
    (told,) = call(gateway, "/router/info")[1]["routed_models"]
    assert told["learning"]["outcomes"] == 20
    assert told["learning"]["levels"]["dear"] < 0
    gateway.stop()
    lines = [line for file in (home / "data" / "decisions").iterdir() for line in file.read_bytes().splitlines()]
    entries, lost = read(lines)
    assert (len(entries), lost, {entry.score for entry in entries}) == (20, 0, {0.0, 1.0})
    assert {entry.served for entry in entries} == {"dear", "fair"}
    with Gateway(home, CONFIG.format(base=upstream.base_url, key=KEY)) as again:
        assert ask(again, "Question 21")[1] == "fair"


@pytest.mark.requirement("routing.feedback.who")
def test_what_is_not_known_is_not_found_and_strangers_are_not_heard(gateway: Gateway) -> None:
    assert call(gateway, "/router/feedback", {"request_id": "none", "score": 1})[0] == 404
    assert call(gateway, "/router/feedback", {"request_id": "none", "score": 7})[0] == 400
    assert call(gateway, "/router/feedback", {"request_id": "none", "score": 1}, key="sk-wrong")[0] == 401
