from __future__ import annotations

import pytest

from pointsman.mcp.auth.places import challenge, metadata_of


@pytest.mark.requirement("mcp.protected-resource")
def test_a_client_without_a_token_is_told_where_to_ask() -> None:
    assert challenge("https://gate.example", "/mcp/far/") == (
        'Bearer resource_metadata="https://gate.example/.well-known/oauth-protected-resource/mcp/far"'
    )
    found = metadata_of("https://gate.example", "/mcp/far", ("https://as.example",))
    assert found["resource"] == "https://gate.example/mcp/far"
    assert found["authorization_servers"] == ["https://as.example"]
