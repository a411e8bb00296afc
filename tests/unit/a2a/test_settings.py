from __future__ import annotations

from pointsman.a2a.settings import A2aSettings, AgentSettings, AuthSettings
from pointsman.wire.secret import Secret


def test_all_secrets_are_known_so_that_no_log_holds_them() -> None:
    agents = (
        AgentSettings(
            id="a",
            name="A",
            auth=AuthSettings(kind="oauth2", value=Secret("value-1"), client_secret=Secret("secret-2")),
            static_headers={"x-api-key": "header-key-3", "x-team": "team-blue-4"},
            url="https://agent.example/?code=query-code-6&v=1",
            replicas=("https://two.example/?sig=replica-7",),
            card_url="https://agent.example/card?key=card%2Dkey-8",
        ),
        AgentSettings(id="b", name="B"),
    )
    queries = {"query-code-6", "replica-7", "card-key-8"}
    settings = A2aSettings(agents=agents, signing_key=Secret("pem-5"))
    assert set(settings.secrets()) == {"value-1", "secret-2", "header-key-3", "pem-5", *queries}


def test_nothing_is_secret_where_nothing_is_said() -> None:
    assert list(A2aSettings(agents=(AgentSettings(id="b", name="B"),)).secrets()) == []
