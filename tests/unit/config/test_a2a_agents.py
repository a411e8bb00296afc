from __future__ import annotations

from typing import Any

import pytest

from pointsman.config.a2a_agents import A2A, AGENT
from pointsman.config.kinds import Kind, Mismatch
from pointsman.config.tables import Section
from pointsman.wire.secret import Secret


def kind(section: Section, name: str) -> Kind:
    key = section.find(name)
    assert key is not None
    return key.kind


@pytest.mark.parametrize(
    ("value", "found"),
    [(1.0, "1.0"), ("1.0", "1.0"), (1, "1.0"), ("1.0.1", "1.0"), (0.3, "0.3"), ("0.3.0", "0.3"), ("auto", "auto")],
)
def test_a_version_may_be_written_as_a_number_and_with_its_patch(value: Any, found: str) -> None:
    assert kind(AGENT, "protocol_version").read(value) == found


@pytest.mark.parametrize("value", ["2.0", 0.2, True, None, [], "hybrid", ""])
def test_another_version_is_none(value: Any) -> None:
    with pytest.raises(Mismatch):
        kind(AGENT, "protocol_version").read(value)


def test_a_form_of_cards_may_be_both() -> None:
    assert kind(A2A, "card_form").read("hybrid") == "hybrid"
    with pytest.raises(Mismatch):
        kind(A2A, "card_form").read("auto")


def test_a_key_in_one_line_has_its_lines_again_and_anything_else_is_no_key() -> None:
    pem = kind(A2A, "signing_key")
    assert pem.read(r"-----BEGIN X-----\na\n-----END X-----") == Secret("-----BEGIN X-----\na\n-----END X-----")
    for value in ("canary", 5, None, "-----BEGIN" + "x" * 20_000):
        with pytest.raises(Mismatch) as refused:
            pem.read(value)
        assert "canary" not in str(refused.value)
