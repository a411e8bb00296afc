from __future__ import annotations

import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pointsman.ml.signing import CannotSign, is_signed, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def pem(key: object) -> bytes:
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]
    return data


def test_a_signature_holds_for_its_message_and_its_key_only() -> None:
    public, value = sign(pem(KEY), b"message")
    assert is_signed(public, value, b"message")
    assert not is_signed(public, value, b"massage")
    assert not is_signed("00" * 32, value, b"message")
    assert not is_signed(public, "00" * 64, b"message")


@pytest.mark.parametrize(("public", "value"), [("not hex", "00" * 64), ("00", "00" * 64), ("00" * 32, "zz")])
def test_what_is_no_signature_is_none(public: str, value: str) -> None:
    assert not is_signed(public, value, b"message")


@pytest.mark.parametrize("key", [b"", b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_cannot_be_read_is_not_quoted(key: bytes) -> None:
    with pytest.raises(CannotSign, match="cannot be read") as caught:
        sign(key, b"message")
    assert "secret" not in str(caught.value)


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(CannotSign, match="not an Ed25519 key"):
        sign(pem(generate_private_key(SECP256R1())), b"message")


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(CannotSign, match="pip install"):
        sign(b"", b"message")
    with pytest.raises(CannotSign, match="pip install"):
        is_signed("00" * 32, "00" * 64, b"message")
