from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from openai import OpenAI
from system.process import Gateway

from pointsman.ml.base import Embedder, Floats, Table
from pointsman.ml.checkpoint import Packed
from pointsman.ml.embedders.remote import Remote
from pointsman.ml.files import MANIFEST, write
from pointsman.ml.training.fit import train
from pointsman.providers.vendors.demo.vectors import unit_vector

KEY = "sk-master-canary-41f0"
CONFIG = """
model_list:
  - model_name: small
    litellm_params: {{model: demo/small, input_cost_per_token: 1e-7, output_cost_per_token: 1e-7}}
  - model_name: large
    litellm_params: {{model: demo/large, input_cost_per_token: 1e-5, output_cost_per_token: 1e-5}}
  - model_name: vectors
    litellm_params: {{model: demo/embed}}
    model_info: {{mode: embedding}}
  - model_name: auto
    litellm_params: {{model: router/{strategy}, candidates: [small, large], {more}}}
general_settings: {{master_key: {key}}}
"""
PATIENCE = 20.0
KINDS = {"translate": "french polite letter greeting menu", "prove": "theorem lemma integral prime bound"}
TRANSLATION, PROOF = "translate menu french menu polite letter 77", "prove prime lemma prime integral theorem 77"
OWN = """
import numpy as np
from pointsman.ml.base import Scores, State

class ByLength:
    NAME = "by-length"

    def fit(self, features, table):
        self.models = len(table.models)
        return self

    def score(self, features):
        is_long = features.surface[:, :1] > 0
        quality = np.hstack([np.where(is_long, 0.2, 0.9), np.where(is_long, 0.9, 0.5)]).astype(np.float32)
        return Scores(quality, np.zeros_like(quality), np.tile(np.float32([1e-6, 1e-4]), (len(quality), 1)))

    def state(self):
        return State({})

    @classmethod
    def from_state(cls, state):
        return cls()
"""


def table() -> Table:
    """The small model translates as well as the large one, and proves nothing."""
    rng = random.Random(3)
    tasks = [rng.choice(sorted(KINDS)) for _ in range(240)]
    prompts = [f"{task} {' '.join(rng.choices(KINDS[task].split(), k=5))} {i}" for i, task in enumerate(tasks)]
    quality = np.array([[1.0, 0.9] if task == "translate" else [0.0, 1.0] for task in tasks], np.float32)
    return Table(
        prompts=prompts,
        models=("small", "large"),
        quality=quality,
        cost_usd=np.tile(np.array([1e-6, 1e-4], np.float32), (len(tasks), 1)),
        tasks=tasks,
    )


def made(seed: int = 0, embedder: Embedder | None = None) -> Packed:
    trained = train(table(), "knn", seed=seed, embedder=embedder, resamples=0)
    return trained.packed(trained.about(created="2020-01-02T03:04:05Z"))


def config(strategy: str, more: str) -> str:
    return CONFIG.format(strategy=strategy, more=more, key=KEY)


def asked(gateway: Gateway, prompt: str) -> dict[str, str]:
    """The headers of the reply."""
    with OpenAI(base_url=f"{gateway.base_url}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE) as client:
        reply = client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": prompt}]
        )
        return dict(reply.headers)


def chosen(gateway: Gateway, prompt: str) -> str:
    return asked(gateway, prompt)["x-pointsman-routed-model"]


def in_time(is_so: Callable[[], bool]) -> None:
    """Wait for the gateway to have looked at its files."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def metric(gateway: Gateway, name: str) -> float:
    lines = gateway.get("/metrics", headers={"authorization": f"Bearer {KEY}"}).body.decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.mark.requirement("routing.checkpoint.reload")
def test_a_checkpoint_is_replaced_while_the_gateway_runs(tmp_path: Path) -> None:
    write(tmp_path / "router", made())
    text = config("knn", "model_path: router, hot_reload: true, reload_interval: 0.05")
    with Gateway(tmp_path, text) as gateway:
        first = asked(gateway, "translate a letter")["x-pointsman-checkpoint"]
        write(tmp_path / "router", made(seed=1))
        in_time(lambda: asked(gateway, "translate a letter")["x-pointsman-checkpoint"] != first)
        second = asked(gateway, "translate a letter")["x-pointsman-checkpoint"]
        (tmp_path / "router" / MANIFEST).write_bytes(b'{"format":"pointsman-checkpoint","schema":1}')
        in_time(lambda: metric(gateway, "pointsman_checkpoint_failures_total") == 1)
        assert asked(gateway, "translate a letter")["x-pointsman-checkpoint"] == second
        assert metric(gateway, "pointsman_checkpoint_reloads_total") == 1
        assert "auto keeps its checkpoint" in gateway.stderr


@pytest.mark.requirement("routing.embedders.gateway")
def test_an_embeddings_model_of_the_gateway_embeds_prompts(tmp_path: Path) -> None:
    def ask(texts: Sequence[str]) -> Floats:
        return np.array([unit_vector(text, 256) for text in texts], np.float32)

    write(tmp_path / "router", made(embedder=Remote("vectors", 256, ask)))
    text = config("knn", "model_path: router, embedder: 'gateway:vectors:256', quality: best")
    with Gateway(tmp_path, text) as gateway:
        assert chosen(gateway, TRANSLATION) == "small"
        assert chosen(gateway, PROOF) == "large"
        deployment = 'api_provider="demo",litellm_model_name="embed"'
        assert metric(gateway, f"litellm_deployment_total_requests_total{{{deployment}") == 2
    nobody = text.replace("demo/embed", "openai/embed, api_key: k, api_base: 'http://127.0.0.1:1/v1'")
    with Gateway(tmp_path, nobody) as gateway:  # what was learnt alongside decides
        assert chosen(gateway, TRANSLATION) == "small"
        assert chosen(gateway, PROOF) == "large"


@pytest.mark.requirement("routing.custom.estimator")
def test_an_estimator_of_the_operators_own_routes(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    with Gateway(tmp_path, config("custom", "strategy: 'own:ByLength', quality: best")) as gateway:
        assert chosen(gateway, "Hello") == "small"
        assert chosen(gateway, "Hello, and more of it. " * 60) == "large"
