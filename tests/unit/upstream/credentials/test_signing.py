from __future__ import annotations

import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pointsman.errors import UpstreamRejected
from pointsman.upstream.credentials.signing import sign_rs256


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_a_signature_is_one_of_the_key() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signature = sign_rs256(pem(key), b"message")
    key.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())


def test_what_is_no_rsa_key_is_refused_without_being_quoted() -> None:
    for text in ("confidential", pem(ec.generate_private_key(ec.SECP256R1()))):
        with pytest.raises(UpstreamRejected) as caught:
            sign_rs256(text, b"message")
        assert caught.value.__cause__ is None
        assert "confidential" not in str(caught.value.operator_detail)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(UpstreamRejected) as caught:
        sign_rs256("x", b"")
    assert "pointsman[vertex]" in str(caught.value.operator_detail)


def test_the_library_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, pointsman.upstream.credentials.authorizers; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
