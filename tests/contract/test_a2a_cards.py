"""Cards between the gateway and the official SDK: what one makes, the other reads and believes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.compat.v0_3 import types as legacy
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.utils._jcs import canonicalize
from a2a.utils.signing import create_agent_card_signer, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwt import PyJWK
from unit.a2a.cards.keys import jwk, pem
from unit.a2a.cards.pretending import Site, card_of

from pointsman.a2a.cards.forms import Place, served, shaped
from pointsman.a2a.cards.jcs import canonical
from pointsman.a2a.cards.reading import live_card
from pointsman.a2a.cards.signing import Signer
from pointsman.a2a.cards.trusting import Trust
from pointsman.a2a.settings import AgentSettings, CardForm

KEY = ec.generate_private_key(ec.SECP256R1())
AGENT = AgentSettings(id="a", name="A", url="https://agent.example", signing_keys=(jwk(KEY, kid="k"),))
PLACE = Place(
    "https://gate.example",
    "https://gate.example/a2a/agents/a",
    {
        "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}},
        "apiKey": {"apiKeySecurityScheme": {"location": "header", "name": "x-api-key"}},
    },
)
RICH: dict[str, Any] = card_of(
    "https://agent.example/rpc",
    description="Übersetzt \U0001f600",
    provider={"organization": "Us", "url": "https://us.example"},
    capabilities={
        "streaming": False,
        "pushNotifications": True,
        "extensions": [{"uri": "https://ext.example", "required": True, "params": {"n": 1.5, "m": 1e21, "e": []}}],
    },
    skills=[{"id": "s", "name": "S", "description": "x", "tags": [], "examples": ["a"]}],
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_the_canonical_form_is_the_sdks(value: Any) -> None:
    assert canonical(value).decode() == canonicalize(value)


@pytest.mark.requirement("a2a.card-signatures")
@pytest.mark.parametrize("is_hybrid", [False, True])
async def test_a_card_that_the_sdk_has_signed_is_believed(is_hybrid: bool) -> None:
    told = parse_agent_card(dict(RICH))
    if is_hybrid:
        told.supported_interfaces.add(
            url="https://agent.example/rpc", protocol_binding="JSONRPC", protocol_version="0.3"
        )
    sign = create_agent_card_signer(
        pem(KEY).reveal(), {"alg": "ES256", "kid": "k", "jku": None, "typ": "JOSE"}, {"unprotected": "x"}
    )
    document = json.loads(json.dumps(agent_card_to_dict(sign(told))))
    assert ("url" in document) is is_hybrid
    trust = Trust(lambda _: Site(), lambda: 0.0)
    judged = await trust.judge(document, AGENT)
    assert judged.verdict == "valid"
    assert "url" not in judged.document
    assert (await trust.judge({**document, "name": "Other"}, AGENT)).verdict == "invalid"


@pytest.mark.requirement("a2a.card-signatures")
@pytest.mark.parametrize("form", ["1.0", "hybrid"])
def test_a_card_that_the_gateway_has_signed_is_believed_by_the_sdk(form: CardForm) -> None:
    signer = Signer(pem(KEY))
    made = shaped(served(live_card(RICH, AGENT), AGENT, PLACE), form)
    made["signatures"] = signer.sign(made, "https://gate.example/.well-known/jwks.json")

    def key(kid: str | None, jku: str | None) -> PyJWK:
        assert (kid, jku) == (signer.kid, "https://gate.example/.well-known/jwks.json")
        return PyJWK(signer.jwk)

    verify = create_signature_verifier(key, ["ES256"])
    verify(parse_agent_card(json.loads(json.dumps(made))))
    with pytest.raises(Exception, match="No valid signature"):
        verify(parse_agent_card({**json.loads(json.dumps(made)), "name": "Other"}))


@pytest.mark.requirement("a2a.card-forms")
@pytest.mark.parametrize("form", ["1.0", "hybrid"])
def test_the_sdk_reads_a_card_of_the_gateway(form: CardForm) -> None:
    found = parse_agent_card(shaped(served(live_card(RICH, AGENT), AGENT, PLACE), form))
    assert {one.url for one in found.supported_interfaces} == {PLACE.url}
    assert [one.protocol_version for one in found.supported_interfaces][:2] == ["1.0", "1.0"]
    assert found.security_schemes["bearer"].http_auth_security_scheme.scheme == "Bearer"
    assert [list(one.schemes) for one in found.security_requirements] == [["bearer"], ["apiKey"]]
    assert found.capabilities.extensions[0].params["m"] == 1e21


@pytest.mark.requirement("a2a.card-forms")
@pytest.mark.parametrize("form", ["0.3", "hybrid"])
def test_the_sdk_of_version_0_3_reads_a_card_of_the_gateway(form: CardForm) -> None:
    found = legacy.AgentCard.model_validate(shaped(served(live_card(RICH, AGENT), AGENT, PLACE), form))
    assert (found.url, found.protocol_version, found.preferred_transport) == (PLACE.url, "0.3.0", "JSONRPC")
    assert found.additional_interfaces is not None
    assert [(one.url, one.transport) for one in found.additional_interfaces] == [(PLACE.url, "HTTP+JSON")]
    assert found.security == [{"bearer": []}, {"apiKey": []}]
    assert found.security_schemes is not None
    assert isinstance(found.security_schemes["apiKey"].root, legacy.APIKeySecurityScheme)
