from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from system.agents.plays import LAST, MADE, PATCH, PLAYS
from system.agents.programs import FOLDER, NEEDS_NODE, PACKAGES, PROGRAMS, Asking
from system.agents.setting import GATEWAY_KEY, exchanged, stage
from system.agents.upstream import Provider
from system.process import Gateway

GOLDEN = Path(__file__).parents[1] / "golden" / "agents"
INSTALL_SECONDS = 600
MUST_RUN = os.environ.get("POINTSMAN_TESTS_REQUIRE_ALL") == "1"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Mapping[str, Provider]]]:
    with stage(tmp_path_factory.mktemp("agents")) as (gateway, providers):
        yield gateway, providers


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js, with the agents of the lock beside it. They are large: only a run that promised all installs them."""
    node, npm = shutil.which("node"), shutil.which("npm")
    lock = (FOLDER / "package-lock.json").read_text()
    stamp = PACKAGES / ".installed-lock"
    is_there = stamp.exists() and stamp.read_text() == lock
    if node is None or npm is None or not (is_there or MUST_RUN):
        reason = f"Node.js or the agents are not there: POINTSMAN_TESTS_REQUIRE_ALL=1 installs these, in {FOLDER}"
        (pytest.fail if MUST_RUN else pytest.skip)(reason)
    if not is_there:
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        assert done.returncode == 0, done.stderr[-500:]
        stamp.write_text(lock)
    return node


def recorded(name: str) -> list[dict[str, Any]]:
    exchanges: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text())
    return exchanges


@pytest.mark.requirement("agents.translated")
@pytest.mark.parametrize("name", PLAYS)
def test_what_an_agent_has_sent_comes_to_the_same_as_when_it_was_recorded(
    running: tuple[Gateway, Mapping[str, Provider]], name: str
) -> None:
    gateway, providers = running
    one = providers[PLAYS[name].dialect]
    one.play(PLAYS[name].steps)
    for exchange in recorded(name):
        sent = {key: exchange[key] for key in ("path", "headers", "request")}
        assert {**sent, **exchanged(gateway, one, sent)} == exchange


@pytest.mark.requirement("agents.passed-through")
@pytest.mark.parametrize("name", ["claude_code_anthropic", "codex_responses", "codex_scripts_responses"])
def test_a_provider_of_the_agents_own_dialect_gets_what_the_agent_has_sent(name: str) -> None:
    for exchange in recorded(name):
        assert exchange["asked"] == exchange["request"] | {"model": exchange["asked"]["model"]}
        assert exchange["beta"] == exchange["headers"].get("anthropic-beta")
        assert exchange["dropped"] is None


@pytest.mark.requirement("agents.real")
@pytest.mark.parametrize("name", PLAYS)
def test_an_agent_does_its_work(
    running: tuple[Gateway, Mapping[str, Provider]], name: str, node: str, tmp_path: Path
) -> None:
    play = PLAYS[name]
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < NEEDS_NODE[play.agent]:
        pytest.skip(f"{play.agent} does not run on Node.js {version}")
    gateway, providers = running
    one = providers[play.dialect]
    one.play(play.steps)
    asking = Asking(node, tmp_path, gateway.base_url, GATEWAY_KEY, play.model)
    said = PROGRAMS[play.agent](asking)
    assert LAST in said
    assert (asking.work / "made.txt").read_text() == MADE
    if any(call.arguments == PATCH for step in play.steps if not isinstance(step, str) for call in step):
        assert (asking.work / "patched.txt").read_text() == f"{MADE}\n"
    assert one.complaints == []
    assert MADE in json.dumps(one.asked[-1].body)


def test_the_lock_of_the_agents_names_no_registry() -> None:
    text = (FOLDER / "package-lock.json").read_text()
    assert not re.search("resolved|://", text)
