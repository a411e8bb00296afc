from __future__ import annotations

import msgspec
import pytest

from pointsman.a2a.rows import from_doc, to_doc
from pointsman.a2a.settings import AgentSettings, AuthSettings, StreamLimits
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


@pytest.mark.requirement("a2a.credentials")
def test_what_is_stored_comes_back_and_holds_no_secret() -> None:
    doc = msgspec.json.decode(msgspec.json.encode(to_doc(AGENT, SEALER)))
    assert "canary" not in str(doc)
    assert from_doc("a", doc, SEALER) == AGENT
    with pytest.raises(CannotUnseal):
        from_doc("b", doc, SEALER)
    with pytest.raises(CannotUnseal):
        to_doc(AGENT, None)


def test_no_row_says_that_its_agent_may_be_in_a_private_network() -> None:
    plain = msgspec.structs.replace(AGENT, auth=AuthSettings(), static_headers={}, allow_private=True)
    doc = to_doc(plain, None)
    assert "allow_private" not in doc
    found = from_doc("a", doc | {"allow_private": True, "source": "config", "later": 1}, None)
    assert (found.allow_private, found.source) == (False, "api")
