"""Money and limits of a gateway as a process, under many requests at a time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI, RateLimitError
from system.process import Gateway, generated_key
from system.upstream.answers import USAGE
from system.upstream.script import Answer
from system.upstream.server import FakeUpstream

MASTER = "sk-master-canary-52bd"
CONFIG = """
model_list:
  - model_name: paid
    litellm_params:
      model: openai/paid
      api_base: "{base}"
      api_key: sk-upstream-canary-93ab
      input_cost_per_token: 0.0001
      output_cost_per_token: 0.001
router_settings: {{num_retries: 0}}
general_settings: {{master_key: {master}}}
"""
TOLD: dict[str, Any] = USAGE
COST = 0.0001 * TOLD["prompt_tokens"] + 0.001 * TOLD["completion_tokens"]
PROMPT: Any = [{"role": "user", "content": "Hello"}]
PATIENCE = 20.0


def config(upstream: FakeUpstream) -> str:
    return CONFIG.format(base=upstream.base_url, master=MASTER)


def make_key(gateway: Gateway, **asked: Any) -> str:
    return generated_key(gateway, MASTER, asked)


def spent(gateway: Gateway) -> list[float]:
    """What each row of the ledger has cost."""
    return [row["spend"] for row in gateway.get("/spend/logs", key=MASTER).json]


def written(gateway: Gateway, count: int) -> list[float]:
    """The same as soon as there are so many rows."""
    until = time.monotonic() + PATIENCE
    while len(rows := spent(gateway)) < count:
        assert time.monotonic() < until, f"{len(rows)} rows of {count}"
        time.sleep(0.05)
    return rows


async def all_at_once(gateway: Gateway, key: str, count: int, **more: Any) -> list[Any]:
    """What so many calls come to that run at the same time."""
    async with AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=key, max_retries=0, timeout=PATIENCE) as openai:
        create = openai.chat.completions.create
        asked: dict[str, Any] = {"model": "paid", "messages": PROMPT, "max_tokens": TOLD["completion_tokens"]} | more
        return await asyncio.gather(*(create(**asked) for _ in range(count)), return_exceptions=True)


@pytest.mark.requirement("budgets.hard")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_budget_is_not_passed_by_two_hundred_calls_at_its_edge(
    tmp_path: Path, upstream: FakeUpstream, workers: int
) -> None:
    upstream.answers("paid")
    budget = 20 * COST
    with Gateway(tmp_path, config(upstream), "--workers", str(workers)) as gateway:
        key = make_key(gateway, max_budget=budget)
        outcomes = asyncio.run(all_at_once(gateway, key, 200))
        refused = [one for one in outcomes if isinstance(one, RateLimitError)]
        served = 200 - len(refused)
        assert 0 < served <= 20
        assert {one.body["type"] for one in refused if isinstance(one.body, dict)} == {"budget_exceeded"}
        assert len(upstream.requests("paid")) == served
        rows = written(gateway, served)
        assert sum(rows) == pytest.approx(served * COST)
        assert sum(rows) <= budget


@pytest.mark.requirement("limits.no-leaks")
def test_clients_that_leave_take_no_slot_with_them(tmp_path: Path, upstream: FakeUpstream) -> None:
    gate = upstream.gate()
    upstream.answers("paid", Answer(steps=(gate,), framing="chunked"))
    with Gateway(tmp_path, config(upstream)) as gateway:
        key = make_key(gateway, max_parallel_requests=50)
        for _ in range(4):
            left = asyncio.run(all_at_once(gateway, key, 50, timeout=0.3))
            assert {type(one) for one in left} <= {APITimeoutError, APIConnectionError}
        upstream.answers("paid")
        outcomes = asyncio.run(all_at_once(gateway, key, 50))
        assert not [one for one in outcomes if isinstance(one, BaseException)]
