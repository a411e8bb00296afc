from __future__ import annotations

import sys

import pytest

from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.wire.secret import Secret

CANARY = "sk-provider-canary-7d1e"


def sealer(*keys: str) -> Sealer:
    first, *before = map(Secret, keys)
    return Sealer(first, before=tuple(before))


@pytest.mark.requirement("credentials.sealed")
def test_a_credential_comes_back_and_cannot_be_read_meanwhile() -> None:
    sealed = sealer("salt").seal(CANARY, "c1")
    assert CANARY not in sealed
    assert sealer("salt").unseal(sealed, "c1") == Secret(CANARY)
    assert sealed != sealer("salt").seal(CANARY, "c1")


def test_another_key_does_not_unseal_it() -> None:
    with pytest.raises(CannotUnseal, match="another key"):
        sealer("other").unseal(sealer("salt").seal(CANARY, "c1"), "c1")


def test_a_new_key_unseals_with_those_before() -> None:
    assert sealer("new", "salt").unseal(sealer("salt").seal(CANARY, "c1"), "c1") == Secret(CANARY)


def test_it_does_not_unseal_in_another_row() -> None:
    with pytest.raises(CannotUnseal, match="another row"):
        sealer("salt").unseal(sealer("salt").seal(CANARY, "c1"), "c2")


@pytest.mark.parametrize(
    "damage", [lambda s: s[:-8], lambda s: s[:-4] + "AAAA", lambda s: s[3:], lambda s: "v1.é" + s, lambda _: ""]
)
def test_what_was_damaged_is_refused(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(CannotUnseal):
        sealer("salt").unseal(damage(sealer("salt").seal(CANARY, "c1")), "c1")


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(CannotUnseal, match=r"pointsman\[signing\]"):
        sealer("salt").seal(CANARY, "c1")
