"""A conversation as no dialect writes it."""

from __future__ import annotations

import pytest

from pointsman.wire.chat import SEALERS, ChatRequest, Seal, Text, ToolCall, Turn, sealed, shown


def test_names_of_called_tools_are_known_by_their_calls() -> None:
    calls = [ToolCall(id=f"c{n}", name=f"f{n}", arguments="{}") for n in range(2)]
    request = ChatRequest(dialect="openai", turns=[Turn("user", [Text("x")]), Turn("assistant", [*calls])])
    assert request.tool_names() == {"c0": "f0", "c1": "f1"}


@pytest.mark.parametrize("origin", sorted(SEALERS))
@pytest.mark.parametrize("own", sorted(SEALERS))
def test_a_seal_comes_back_from_a_client_of_any_dialect_with_its_origin(origin: str, own: str) -> None:
    seal = Seal(origin, "c2VhbA==")
    assert sealed(shown(seal, own), own) == seal


def test_a_client_gets_the_seal_of_its_own_dialect_as_the_provider_wrote_it() -> None:
    assert shown(Seal("anthropic", "abc"), "anthropic") == "abc"


@pytest.mark.parametrize("text", ["abc", "nobody#abc", "#abc", ""])
def test_a_seal_that_names_no_dialect_is_the_clients_own(text: str) -> None:
    assert sealed(text, "gemini") == Seal("gemini", text)
