from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.checks import RESERVED, wrong_id, wrong_jwk, wrong_model


@pytest.mark.parametrize("agent_id", ["a", "A-1_b", "0", "x" * 64, "agents2"])
def test_an_id_is_a_short_word(agent_id: str) -> None:
    assert wrong_id(agent_id) is None


@pytest.mark.parametrize("agent_id", ["", "-a", "_a", "a b", "a/b", "a.b", "a:b", "é", "x" * 65, "a\n", "..", "%2e"])
def test_what_cannot_stand_in_a_path_is_no_id(agent_id: str) -> None:
    assert "64" in (wrong_id(agent_id) or "")


@pytest.mark.requirement("a2a.ids")
@pytest.mark.parametrize("agent_id", [*sorted(RESERVED), "Agents", "TASKS", "Push"])
def test_what_has_another_meaning_in_a_path_is_reserved(agent_id: str) -> None:
    assert "reserved" in (wrong_id(agent_id) or "")


def test_an_agent_cannot_be_published_as_another_one() -> None:
    assert wrong_model("gpt") is None
    assert "agent" in (wrong_model("a2a/loop") or "")


@pytest.mark.parametrize(
    ("key", "is_well"),
    [
        ({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}, True),
        ({"kty": "OKP", "crv": "Ed25519", "x": "a"}, True),
        ({"kty": "oct", "k": "a"}, False),
        ({"kty": "EC", "d": "private"}, False),
        ({}, False),
    ],
)
def test_a_key_that_signatures_are_checked_with_is_public(key: dict[str, Any], is_well: bool) -> None:
    assert (wrong_jwk(key) is None) is is_well
