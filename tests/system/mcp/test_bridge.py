"""Everything that a server can ask or tell a client, between clients and servers of both eras, over every transport."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from system.conftest import MASTER_KEY
from system.mcp.conftest import mcp_config
from system.mcp.installing import FOLDER, venv
from system.mcp.running import Side, Wire, bridge_command, running_bridge
from system.process import Gateway

WIRES: Mapping[Side, tuple[Wire, ...]] = {
    "legacy": ("streamable-http", "sse", "stdio"),
    "modern": ("streamable-http", "stdio"),
}
"""The modern revision has no HTTP+SSE."""
SIDES: tuple[Side, ...] = ("legacy", "modern")
CELLS = [(client, server, wire) for client in SIDES for server in SIDES for wire in WIRES[server]]
CLIENT_SECONDS = 150
EXPECTED: Mapping[str, Any] = {
    "introduction": ["bridge", "Cross here"],
    "elicitation": "Hello, Ada",
    "elicitation_in_rounds": "Ada and Grace",
    "sampling": "The model said five, to Which track?",
    "roots_asked": "file:///depot",
    "roots_asked_apart": "file:///depot",
    "progress": ["counted", [1.0, 3.0, "step 1"], [2.0, 3.0, "step 2"], [3.0, 3.0, "step 3"]],
    "logging": ["warning", "error", "critical", "alert", "emergency"],
    "subscription": 1,
    "list_changes": 1,
    "cancellation": "cancelled",
    "completion": ["Ada"],
    "prompt": "Greet Ada",
}
MORE: Mapping[Side, Mapping[str, Any]] = {"legacy": {"ping": "pong"}, "modern": {}}


@pytest.fixture(scope="module", params=CELLS, ids=["-".join(cell) for cell in CELLS])
def heard(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Mapping[str, Any]]]:
    """What a client's trials gave, and of which era it is."""
    client, server, wire = request.param
    home = tmp_path_factory.mktemp("bridge")
    if wire == "stdio":
        command = bridge_command(server, wire, 0)
        yield client, trials(client, {"command": command[0], "args": command[1:], "transport": "stdio"}, home)
    else:
        with running_bridge(server, wire, home) as url:
            yield client, trials(client, {"url": url, "transport": "sse" if wire == "sse" else "http"}, home)


def trials(client: Side, settings: Mapping[str, Any], home: Path, *options: str) -> Mapping[str, Any]:
    """What a client that goes through a gateway to this server has found."""
    with Gateway(home / "gateway", mcp_config({"bridge": settings}, is_open=False), *options) as gateway:
        python = venv("sdk-1" if client == "legacy" else "sdk-2")
        command = [str(python), str(FOLDER / "clients" / f"{client}.py"), f"{gateway.base_url}/mcp/bridge", MASTER_KEY]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.mark.requirement("mcp.bridge")
@pytest.mark.parametrize("trial", EXPECTED)
def test_a_client_of_either_era_uses_all_of_a_server_of_either_era(
    trial: str, heard: tuple[Side, Mapping[str, Any]]
) -> None:
    assert heard[1][trial] == EXPECTED[trial]


@pytest.mark.requirement("mcp.bridge")
def test_nothing_of_an_era_is_left_untried(heard: tuple[Side, Mapping[str, Any]]) -> None:
    client, found = heard
    assert found == {**EXPECTED, **MORE[client]}


@pytest.mark.requirement("mcp.bridge")
@pytest.mark.parametrize("client", SIDES)
def test_nothing_is_lost_between_two_workers(client: Side, tmp_path: Path) -> None:
    with running_bridge("legacy", "streamable-http", tmp_path) as url:
        found = trials(client, {"url": url, "transport": "http"}, tmp_path, "--workers", "2")
    assert found == {**EXPECTED, **MORE[client]}
