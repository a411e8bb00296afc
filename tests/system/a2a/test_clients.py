"""Four official clients, each over both bindings, with agents of both versions, each over both bindings."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from system.a2a.installing import FOLDER, legacy_python, scripts
from system.a2a.running import Agent, Kind
from system.conftest import MASTER_KEY
from system.installing import node
from system.process import Gateway

CLIENT_SECONDS = 120
CLIENTS = ("python-1.3.0", "python-0.3.26", "npm-1.3.0", "npm-0.3.14")
BINDINGS = ("jsonrpc", "rest")
AGENTS = ("modern-jsonrpc", "modern-rest", "legacy-jsonrpc", "legacy-rest")
FILE_URL = "https://files.example.com/output.txt"
PARTS: list[list[Any]] = [
    ["text", "all of them"],
    ["raw", base64.b64encode(b"tck").decode(), "output.txt", "text/plain"],
    ["url", FILE_URL, "output.txt", "text/plain"],
    ["data", {"key": "value", "count": 42}],
]
WHOLE = {"before": 1, "after": 0, "is_ours": [True, True, True]}


def command(client: str) -> list[str]:
    script = "modern" if client.endswith("1.3.0") else "legacy"
    if client.startswith("npm"):
        return [str(node()), str(scripts() / f"{script}.mjs")]
    python = sys.executable if script == "modern" else str(legacy_python())
    return [python, str(FOLDER / "clients" / f"{script}.py")]


@pytest.fixture(scope="module", params=CLIENTS)
def trips(
    request: pytest.FixtureRequest, between: Gateway, agents: Mapping[Kind, Agent]
) -> tuple[str, Mapping[str, Any]]:
    """What a client has seen, by agent and binding."""
    client = str(request.param)
    hook = "http://127.0.0.1:9/hook"
    cells = [
        (f"{agent} {binding}", f"{between.base_url}/a2a/agents/{agent}", binding, place.url, hook)
        for agent in AGENTS
        for place in [agents["modern" if agent.startswith("modern") else "legacy"]]
        for binding in BINDINGS
    ]
    line = [*command(client), MASTER_KEY, json.dumps(cells)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return client, json.loads(done.stdout)


def expected(client: str, agent: str, binding: str) -> dict[str, Any]:
    """What there is to see."""
    # The resubscribe of 0.3 gives only what comes next.
    first = "status" if client.endswith(("0.3.26", "0.3.14")) and agent.startswith("legacy") else "task"
    known: dict[str, Any] = {
        "sends": {
            "task": ["completed", "Hello from the agent"],
            "message": "Direct message response",
            "parts": PARTS,
            "got": [True, "completed", True],
        },
        "streams": {
            "events": [
                "task submitted",
                "status working",
                "artifact chunk-1 ",
                "artifact chunk-2",
                "status completed",
            ],
            "pieces": 50,
            "said": ["message Direct message response"],
        },
        "cancels": ["canceled", True],
        "subscribes": [first, "artifact after all", "status completed"],
        "pushes": WHOLE,
        "extends": "Does as it is told, and more",
        "misses": "TaskNotFoundError",
    }
    if client.endswith("1.3.0"):
        known["lists"] = ["completed"]
    if client == "python-0.3.26":
        # It cannot list or drop configs.
        known["pushes"] = {"is_ours": [True, True]}
        known["misses"] = "A2AClientHTTPError True" if binding == "rest" else "A2AClientJSONRPCError True"
    if client == "npm-0.3.14" and binding == "jsonrpc":
        known["misses"] = "TaskNotFoundJSONRPCError"
    if client == "npm-0.3.14" and binding == "rest":
        # It knows no names of files there, and disagrees with Python's SDK on how often their bytes are encoded.
        known["sends"]["parts"] = [
            [kind, again(value) if kind == "raw" else value, *([None, more[1]] if more else [])]
            for kind, value, *more in PARTS
        ]
    return known


def again(encoded: str) -> str:
    """In base64 once more."""
    return base64.b64encode(encoded.encode()).decode()


@pytest.mark.requirement("a2a.clients")
@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("agent", AGENTS)
def test_a_client_does_all_it_can_with_an_agent(trips: tuple[str, Mapping[str, Any]], agent: str, binding: str) -> None:
    client, seen = trips
    assert seen[f"{agent} {binding}"] == expected(client, agent, binding)
