from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from openai import OpenAI
from system.process import Gateway, pointsman

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "data" / "routing_sample.jsonl"
KEY = "sk-example-master"


@pytest.mark.requirement("routing.learned.example")
def test_the_example_trains_on_llmrouters_table_and_serves_auto(tmp_path: Path) -> None:
    candidates = shutil.copy(ROOT / "examples" / "routing-candidates.json", tmp_path)
    out = tmp_path / "checkpoints" / "routing"
    trained = pointsman(tmp_path, "train", str(TABLE), "--candidates", str(candidates), "--out", str(out), timeout=120)
    assert trained.returncode == 0, trained.stderr
    assert "best single model" in trained.stdout
    config = (ROOT / "examples" / "routing.yaml").read_text().replace("master_key: auto", f"master_key: {KEY}")
    with Gateway(tmp_path, config) as gateway:
        client = OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0)
        prompt = "Natalia sold 48 clips in April, and half as many in May. How many clips did she sell altogether?"
        reply = client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": prompt}]
        )
    completion = reply.parse()
    chosen = reply.headers["x-pointsman-routed-model"]
    assert completion.model == chosen
    assert prompt in (completion.choices[0].message.content or "")
    assert reply.headers["x-pointsman-reason"] in {"gain", "baseline"}
    assert float(reply.headers["x-pointsman-predicted-cost"]) > 0
    assert reply.headers["x-pointsman-checkpoint"].startswith("auto@")


@pytest.mark.requirement("routing.learned.example")
def test_the_example_serves_before_it_is_trained(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "routing-candidates.json", tmp_path)
    config = (ROOT / "examples" / "routing.yaml").read_text().replace("master_key: auto", f"master_key: {KEY}")
    with Gateway(tmp_path, config) as gateway:
        client = OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0)
        reply = client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": "Hi"}]
        )
    assert reply.headers["x-pointsman-checkpoint"] == "prior"
