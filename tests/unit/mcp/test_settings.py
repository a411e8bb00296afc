from __future__ import annotations

from pointsman.mcp.settings import AuthSettings, McpSettings, ServerSettings
from pointsman.wire.secret import Secret


def test_it_knows_what_nobody_is_to_read_in_a_log() -> None:
    one = ServerSettings(
        id="a",
        name="a",
        auth=AuthSettings(kind="oauth2", value=Secret("canary-value"), client_secret=Secret("canary-secret")),
        static_headers={"X-Api-Key": "canary-header", "x-color": "blue-as-the-sky"},
        env={"GITHUB_TOKEN": "canary-token", "TOKEN_KIND": "short", "HOME": "/home/somebody"},
    )
    found = set(McpSettings(servers=(one, ServerSettings(id="b", name="b"))).secrets())
    assert found == {"canary-value", "canary-secret", "canary-header", "canary-token"}
