from __future__ import annotations

import logging

import msgspec
import pytest
from unit.store.registries import World

from pointsman.a2a.registry import AGENTS
from pointsman.a2a.settings import A2aSettings, AgentSettings, AuthSettings, StreamLimits
from pointsman.store.base import Change
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.wire.secret import Secret

SEALER = Sealer(Secret("a salt that is long enough"))
AGENT = AgentSettings(
    id="a",
    name="A",
    url="https://h/a",
    replicas=("https://i/a",),
    protocol_version="0.3",
    card={"skills": [{"id": "x"}]},
    auth=AuthSettings(kind="oauth2", client_id="c", client_secret=Secret("canary-1"), token_url="https://h/t"),
    static_headers={"x-key": "canary-2"},
    stream=StreamLimits(idle_seconds=5.0),
    cost_usd="0.25",
    source="api",
)
PLAIN = msgspec.structs.replace(AGENT, auth=AuthSettings(), static_headers={})


@pytest.mark.requirement("a2a.credentials")
def test_what_is_stored_comes_back_and_holds_no_secret() -> None:
    doc = msgspec.json.decode(msgspec.json.encode(AGENTS.to_doc(AGENT, SEALER)))
    assert "canary" not in str(doc)
    assert AGENTS.from_doc("a", doc, SEALER) == AGENT
    with pytest.raises(CannotUnseal):
        AGENTS.from_doc("b", doc, SEALER)
    with pytest.raises(CannotUnseal):
        AGENTS.to_doc(AGENT, None)


def test_no_row_says_that_its_agent_may_be_in_a_private_network() -> None:
    doc = AGENTS.to_doc(msgspec.structs.replace(PLAIN, allow_private=True), None)
    assert "allow_private" not in doc
    found = AGENTS.from_doc("a", doc | {"allow_private": True, "source": "config", "later": 1}, None)
    assert (found.allow_private, found.source) == (False, "api")


async def test_the_log_says_which_agent_is_not_in_force_and_why(caplog: pytest.LogCaptureFixture) -> None:
    world = World(AGENTS)
    await world.store.records.change([Change("agents", "a", AGENTS.to_doc(PLAIN, None))])
    world.registry.configure(A2aSettings(agents=(AgentSettings(id="a", name="House"),)))
    await world.registry.load()
    assert world.registry.entries["a"].name == "House"
    what = "the registered agent a is not in force: the config has an agent with the same id"
    assert caplog.record_tuples == [("pointsman.a2a.registry", logging.WARNING, what)]
    await world.tasks.close(1.0)
