"""Seals of reasoning that another provider has made."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from pointsman.pipeline.seals import has_foreign_seal
from pointsman.providers.dialects import gemini
from pointsman.wire.chat import SEALERS, Seal, shown


@pytest.mark.parametrize("origin", sorted(SEALERS))
def test_a_seal_with_its_origin_is_found_in_any_dialect(origin: str) -> None:
    seal = shown(Seal(origin, "c2VhbA=="), "nobody")
    assert has_foreign_seal(json.dumps({"type": "thinking", "signature": seal}).encode())
    assert has_foreign_seal(json.dumps({"type": "redacted_thinking", "data": seal}).encode())
    assert has_foreign_seal(json.dumps({"type": "reasoning", "encrypted_content": seal}).encode())
    encoded = b64encode(seal.encode()).decode()
    assert has_foreign_seal(json.dumps({"text": "x", "thoughtSignature": encoded}).encode())


def test_googles_clients_get_seals_that_are_found_again() -> None:
    signature = gemini.seals.write_seal(Seal("anthropic", "c2VhbA=="))
    assert has_foreign_seal(json.dumps({"thoughtSignature": signature}).encode())


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "anthropic#1"}]},
        {"signature": "c2VhbA=="},
        {"signature": "x anthropic#c2VhbA=="},
        {"type": "image", "source": {"data": "iVBORw0KGgo"}},
    ],
)
def test_other_texts_are_none(body: object) -> None:
    assert not has_foreign_seal(json.dumps(body).encode())
