from __future__ import annotations

import logging
from typing import Any

import pytest
from unit.mcp.auth.authorities import TOKEN, Net

from pointsman.a2a.auth.credentials import credential_of, lines_for
from pointsman.a2a.settings import AgentSettings, AuthSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret

CANARY = Secret("canary")


@pytest.mark.parametrize(
    ("auth", "lines"),
    [
        ({}, {"x-team": "a"}),
        ({"kind": "api_key", "value": CANARY, "header": "X-Key"}, {"x-team": "a", "x-key": "canary"}),
        ({"kind": "bearer_token", "value": CANARY}, {"x-team": "a", "authorization": "Bearer canary"}),
        ({"kind": "oauth2", "client_id": "me", "token_url": TOKEN}, {"x-team": "a", "authorization": "Bearer got"}),
    ],
)
async def test_an_agent_is_shown_what_it_wants(auth: Any, lines: dict[str, str]) -> None:
    net, tasks = Net(), Tasks(logging.getLogger("tests"), 10)
    net.tokens = [{"access_token": "got"}]
    settings = AgentSettings(id="a", name="A", static_headers={"X-Team": "a"}, auth=AuthSettings(**auth))
    credential = credential_of(settings, lambda _: net, tasks, lambda: 0.0)
    assert await lines_for(settings, credential) == lines
    await tasks.close(1.0)
