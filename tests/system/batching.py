"""Batches in a gateway as a process: a config, input files, and waiting for what comes of them."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from openai import OpenAI
from openai.types import Batch
from system.process import Gateway, generated_key

MASTER: Final = "sk-master-canary-b4b4"
SALT: Final = {"POINTSMAN_SALT_KEY": "a-salt-for-tests-only"}
CHAT: Final = "/v1/chat/completions"
PATIENCE: Final = 60.0
OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
CONFIG: Final = f"""
model_list:
  - model_name: house
    litellm_params: {{model: demo/small, input_cost_per_token: 0.001, output_cost_per_token: 0.002}}
  - model_name: vectors
    litellm_params: {{model: demo/embedding}}
    model_info: {{mode: embedding}}
general_settings: {{master_key: {MASTER}}}
"""
WITH_UPSTREAM: Final = """
model_list:
  - model_name: house
    litellm_params: {{model: openai/gpt, api_base: "{base}", api_key: sk-upstream}}
router_settings: {{num_retries: 0}}
general_settings: {{master_key: {master}}}
{more}
"""


def config(base: str, more: str = "") -> str:
    """One model at an upstream."""
    return WITH_UPSTREAM.format(base=base, master=MASTER, more=more)


def line(custom_id: Any, url: Any = CHAT, method: Any = "POST", **body: Any) -> dict[str, Any]:
    """A good request, but for what is said."""
    body = {"model": "house", "messages": [{"role": "user", "content": f"Hello {custom_id}"}], "max_tokens": 8} | body
    return {"custom_id": custom_id, "method": method, "url": url, "body": body}


def lines(count: int, **body: Any) -> list[dict[str, Any]]:
    """So many good requests."""
    return [line(f"line-{number}", **body) for number in range(count)]


def jsonl(requests: Iterable[Any]) -> bytes:
    """As a file holds them."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in requests)


def client(gateway: Gateway, key: str = MASTER) -> OpenAI:
    """The official one."""
    return OpenAI(base_url=f"{gateway.base_url}/v1", api_key=key, max_retries=0, timeout=30)


def upload(openai: OpenAI, data: bytes, purpose: Any = "batch") -> str:
    """The id of the file."""
    return openai.files.create(file=("in.jsonl", data), purpose=purpose).id


def submit(openai: OpenAI, data: bytes, endpoint: Any = CHAT, **more: Any) -> Batch:
    """A batch of that file."""
    return openai.batches.create(input_file_id=upload(openai, data), endpoint=endpoint, completion_window="24h", **more)


def until(look: Callable[[], Any], is_so: Callable[[Any], bool], patience: float = PATIENCE) -> Any:
    """What it looks like when it is so."""
    deadline = time.monotonic() + patience
    while not is_so(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def pressed(home: Path, look: Callable[[], Any], told: object = None) -> Any:
    """What there is when there is something; meanwhile steps of batches do not wait for their turn."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, told
        with closing(sqlite3.connect(home / "data" / "pointsman.db", timeout=10)) as database, database:
            database.execute("UPDATE batches SET ready_at = 0 WHERE ready_at IS NOT NULL AND holder = ''")
        time.sleep(0.1)
    return found


def ended(openai: OpenAI, batch_id: str, patience: float = PATIENCE) -> Batch:
    """The batch when it is over."""
    found: Batch = until(lambda: openai.batches.retrieve(batch_id), lambda batch: batch.status in OVER, patience)
    return found


def read(openai: OpenAI, file_id: str | None) -> list[Any]:
    """The lines of a file."""
    if file_id is None:
        return []
    return [json.loads(one) for one in openai.files.content(file_id).text.splitlines()]


def spend(gateway: Gateway, key: str, count: int) -> list[dict[str, Any]]:
    """The rows that a key has in the ledger, when there are as many."""
    rows: list[dict[str, Any]] = until(
        lambda: gateway.get("/spend/logs?page_size=100", key=key).json, lambda rows: len(rows) >= count
    )
    assert len(rows) == count
    return rows


def make_key(gateway: Gateway, **asked: Any) -> str:
    """A new key."""
    return generated_key(gateway, MASTER, asked)
