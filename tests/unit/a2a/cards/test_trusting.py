from __future__ import annotations

import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from unit.a2a.cards.keys import jwk, with_signature
from unit.a2a.cards.pretending import Site, card_of

from pointsman.a2a.cards.jcs import canonical
from pointsman.a2a.cards.trusting import KEYS_SECONDS, MAX_KEY_URLS, Judged, Trust
from pointsman.a2a.settings import AgentSettings, Signatures

OURS, THEIRS = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
CARD = card_of("https://agent.example/")
JKU = "https://keys.example/agents/jwks.json"


def agent(signatures: Signatures = "if-present", *keys: Any) -> AgentSettings:
    return AgentSettings(id="a", name="A", url="https://agent.example/", signatures=signatures, signing_keys=keys)


def signed(key: Any, **more: Any) -> dict[str, Any]:
    return with_signature(CARD, key, canonical(CARD), **{"alg": "ES256", "kid": "k", **more})


class World:
    def __init__(self) -> None:
        self.site = Site()
        self.time = 0.0
        self.trust = Trust(lambda _: self.site, lambda: self.time)
        self.trust.allowed = ("https://keys.example/agents/",)
        self.site.put(JKU, {"keys": [jwk(OURS, kid="k")]})


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.requirement("a2a.card-signatures")
@pytest.mark.parametrize(
    ("card", "verdict", "refused_if_present", "refused_if_required"),
    [
        (CARD, "unsigned", False, True),
        (signed(OURS), "valid", False, False),
        (signed(THEIRS), "invalid", True, True),
        ({**signed(OURS), "name": "Other"}, "invalid", True, True),
        (signed(OURS, kid="another"), "unknown", False, True),
        ({**CARD, "signatures": "x"}, "unknown", False, True),
    ],
)
async def test_a_card_is_used_as_far_as_its_signatures_go(
    world: World, card: Any, verdict: str, refused_if_present: bool, refused_if_required: bool
) -> None:
    for mode, is_refused in (("if-present", refused_if_present), ("require", refused_if_required)):
        settings = agent(mode, jwk(OURS, kid="k"))  # type: ignore[arg-type]
        judged = await world.trust.judge(card, settings)
        assert judged.verdict == verdict
        assert (judged.refusal(settings) is not None) is is_refused


async def test_signatures_are_not_looked_at_where_they_do_not_matter(world: World) -> None:
    settings = agent("off", jwk(OURS, kid="k"))
    judged = await world.trust.judge(signed(THEIRS), settings)
    assert judged.verdict == "unknown"
    assert judged.refusal(settings) is None


async def test_one_signature_that_is_valid_is_enough(world: World) -> None:
    card = {**CARD, "signatures": [*signed(THEIRS)["signatures"], *signed(OURS)["signatures"]]}
    assert (await world.trust.judge(card, agent("require", jwk(OURS)))).verdict == "valid"


async def test_only_what_is_covered_is_believed(world: World) -> None:
    card = {**signed(OURS), "url": "https://elsewhere.example/"}
    assert (await world.trust.judge(card, agent("require", jwk(OURS)))).document == CARD


async def test_keys_are_loaded_from_allowed_addresses_and_kept_for_a_while(world: World) -> None:
    card = signed(OURS, jku=JKU)
    for _ in range(2):
        assert (await world.trust.judge(card, agent("require"))).verdict == "valid"
    assert world.site.asked == [JKU]
    world.time = KEYS_SECONDS
    world.site.put(JKU, {"keys": [jwk(THEIRS, kid="k")]})
    assert (await world.trust.judge(card, agent("require"))).verdict == "invalid"


@pytest.mark.requirement("a2a.ssrf")
@pytest.mark.parametrize(
    "jku",
    [
        "https://evil.example/jwks.json",
        "https://keys.example/agents/../evil.json",
        "https://keys.example/agents/%2e%2e/evil.json",
        "https://keys.example/other.json",
        "https://keys.example.evil.example/agents/x",
        "http://keys.example/agents/jwks.json",
    ],
)
async def test_keys_are_loaded_from_nowhere_else(world: World, jku: str) -> None:
    assert (await world.trust.judge(signed(OURS, jku=jku), agent())).verdict == "unknown"
    assert world.site.asked == []


async def test_pinned_keys_go_before_those_that_a_card_names(world: World) -> None:
    judged = await world.trust.judge(signed(OURS, jku=JKU), agent("if-present", jwk(THEIRS, kid="k")))
    assert judged.verdict == "invalid"
    assert world.site.asked == []


@pytest.mark.parametrize("page", [b"<html>", {"keys": 1}, {}])
async def test_keys_that_cannot_be_read_leave_it_open(world: World, page: Any) -> None:
    world.site.put(JKU, page)
    settings = agent("require")
    judged = await world.trust.judge(signed(OURS, jku=JKU), settings)
    assert judged.verdict == "unknown"
    assert judged.refusal(settings) is not None


async def test_keys_that_cannot_be_loaded_leave_it_open(world: World) -> None:
    world.site.put(JKU, b"", status=503)
    assert (await world.trust.judge(signed(OURS, jku=JKU), agent())).verdict == "unknown"


async def test_keys_of_so_many_addresses_are_kept_and_no_more(world: World) -> None:
    for index in range(MAX_KEY_URLS + 1):
        jku = f"https://keys.example/agents/{index}"
        world.site.put(jku, {"keys": [jwk(OURS, kid="k")]})
        await world.trust.judge(signed(OURS, jku=jku), agent())
    world.site.asked.clear()
    for index in (MAX_KEY_URLS, 0):
        await world.trust.judge(signed(OURS, jku=f"https://keys.example/agents/{index}"), agent())
    assert world.site.asked == ["https://keys.example/agents/0"]


async def test_without_the_library_it_is_said_what_to_install(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cryptography.exceptions", "cryptography"):
        monkeypatch.setitem(sys.modules, name, None)
    judged = await world.trust.judge(signed(OURS), agent("require", jwk(OURS)))
    assert judged == Judged("unknown", judged.document, judged.why)
    assert "pip install 'pointsman[signing]'" in str(judged.refusal(agent("require")))
