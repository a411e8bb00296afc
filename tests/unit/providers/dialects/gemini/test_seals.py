from __future__ import annotations

from base64 import b64decode

import pytest

from pointsman.providers.dialects.gemini.seals import SKIP, SKIP_ENCODED, is_skip, own, read_seal, write_seal
from pointsman.wire.chat import Seal


@pytest.mark.requirement("gemini.signatures")
@pytest.mark.parametrize("is_redacted", [False, True])
@pytest.mark.parametrize("text", ["EqQB+/x=", "a", "gAAAA_-~~"])
def test_a_foreign_seal_comes_back_as_it_was(text: str, is_redacted: bool) -> None:
    seal = Seal("anthropic", text)
    written = write_seal(seal, is_redacted=is_redacted)
    assert b64decode(written, validate=True)
    assert read_seal(written) == (seal, is_redacted)
    assert read_seal(written.replace("+", "-").replace("/", "_").rstrip("=")) == (seal, is_redacted)


@pytest.mark.parametrize(
    "text", ["CukDAXnM/zE=", "CukDAXnM_zE", "skip_thought_signature_validator", "not base64!", "é"]
)
def test_googles_own_stay_as_they_are(text: str) -> None:
    assert read_seal(text) == (Seal("gemini", text), False)
    assert write_seal(Seal("gemini", text)) == text


@pytest.mark.parametrize("text", [SKIP, SKIP_ENCODED, SKIP.replace("_", "/"), SKIP_ENCODED.rstrip("=")])
def test_what_stands_for_a_missing_signature_is_known_in_each_form_that_clients_give_it(text: str) -> None:
    assert is_skip(text)


@pytest.mark.parametrize("text", ["", "CukDAXnM/zE=", SKIP + SKIP, SKIP[:-1]])
def test_a_signature_is_not_taken_for_a_missing_one(text: str) -> None:
    assert not is_skip(text)


@pytest.mark.requirement("gemini.signatures")
def test_only_googles_own_go_to_google() -> None:
    assert own(Seal("gemini", "a")) == "a"
    assert own(Seal("anthropic", "a")) is None
    assert own(None) is None
