from __future__ import annotations

import pytest

from pointsman.providers.dialects.responses.seals import Sealed, read_seal, write_seal
from pointsman.wire.chat import Seal


def test_an_own_seal_is_the_encrypted_content() -> None:
    seal = Seal("responses", "gAAAAAB")
    assert write_seal(seal) == "gAAAAAB"
    assert read_seal("gAAAAAB") == Sealed(seal)


@pytest.mark.requirement("responses.seals-return")
@pytest.mark.parametrize("origin", ["anthropic", "gemini", "openai", "converse"])
def test_a_seal_of_another_comes_back_with_all_that_was_known_of_it(origin: str) -> None:
    seal = Seal(origin, "EqQB/+=")
    assert read_seal(write_seal(seal)) == Sealed(seal)
    assert read_seal(write_seal(seal, is_redacted=True)) == Sealed(seal, is_redacted=True)
    assert read_seal(write_seal(seal, is_of_next=True)) == Sealed(seal, is_of_next=True)
