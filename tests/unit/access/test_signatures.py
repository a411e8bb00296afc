from __future__ import annotations

import base64
import builtins
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from joserfc.jws import serialize_compact
from tokens import Issuer, Registry, key_of

from pointsman.access.signatures import MAX_KEYS, BadKeys, PublicKeys, claims_of, read_keys
from pointsman.access.tokens import ALGORITHMS, head_of

CLAIMS = {"sub": "ada", "exp": 1}


def proven(keys: PublicKeys, token: str) -> Any:
    head = head_of(token.encode())
    return [claims_of(token.encode(), head, key) for key in keys.fitting(head)]


@pytest.mark.requirement("access.tokens")
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_token_of_each_algorithm_is_proven_by_the_key_that_has_signed_it(algorithm: str) -> None:
    issuer = Issuer(algorithm)
    keys = read_keys(issuer.jwks())
    assert proven(keys, issuer.sign(CLAIMS)) == [CLAIMS]
    assert proven(keys, issuer.sign(CLAIMS, kid=None, nonce="x", x5t="y")) == [CLAIMS]
    assert proven(keys, issuer.sign(CLAIMS, kid="another")) == []
    token = issuer.sign(CLAIMS)
    front, _, signature = token.rpartition(".")
    flipped = "A" if signature[5] != "A" else "B"
    assert proven(keys, f"{front}.{signature[:5]}{flipped}{signature[6:]}") == [None]
    assert proven(keys, f"{front}.") == [None]


@pytest.mark.requirement("access.tokens")
def test_another_body_or_another_head_proves_nothing() -> None:
    issuer = Issuer()
    keys = read_keys(issuer.jwks())
    head, body, signature = issuer.sign(CLAIMS).split(".")
    other = base64.urlsafe_b64encode(b'{"sub":"eve"}').rstrip(b"=").decode()
    assert proven(keys, f"{head}.{other}.{signature}") == [None]
    swapped = base64.urlsafe_b64encode(b'{"alg":"PS256","kid":"key-RS"}').rstrip(b"=").decode()
    assert proven(keys, f"{swapped}.{body}.{signature}") == [None]
    twice = base64.urlsafe_b64encode(b'{"alg":"none","alg":"RS256","kid":"key-RS"}').rstrip(b"=").decode()
    assert proven(keys, f"{twice}.{body}.") == [None]


@pytest.mark.requirement("access.tokens")
def test_a_public_key_is_no_shared_secret() -> None:
    issuer = Issuer()
    secret = key_of("HS", "shared")
    forged = serialize_compact(
        {"alg": "HS256", "kid": issuer.key.kid}, b"{}", secret, registry=Registry(strict_check_header=False)
    )
    head = head_of(issuer.sign(CLAIMS).encode())
    key = next(iter(read_keys(issuer.jwks()).fitting(head)))
    # Even if somebody has overlooked the head.
    assert claims_of(forged.encode(), head, key) is None
    with pytest.raises(BadKeys):
        read_keys({"keys": [dict(secret.as_dict(private=True))]})


@pytest.mark.parametrize("claims", [b"[]", b"x", b"\xff", b'"a"', b"[" * 3000])
def test_what_holds_no_claims_proves_nothing(claims: bytes) -> None:
    issuer = Issuer()
    assert proven(read_keys(issuer.jwks()), issuer.sign(claims)) == [None]


def test_a_critical_member_that_is_not_known_proves_nothing() -> None:
    issuer = Issuer()
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"key-RS","crit":["b64"],"b64":false}').rstrip(b"=")
    _, body, signature = issuer.sign(CLAIMS).split(".")
    assert proven(read_keys(issuer.jwks()), f"{head.decode()}.{body}.{signature}") == [None]


def test_keys_for_something_else_or_too_weak_are_passed_over() -> None:
    good = Issuer().public
    with pytest.warns(match="2048"):
        weak = dict(RSAKey.generate_key(1024).as_dict(private=False))
    private = dict(Issuer("ES256").key.as_dict(private=True))
    odd: list[Any] = [
        weak,
        private,
        {**good, "use": "enc"},
        {**good, "key_ops": ["encrypt"]},
        {**good, "key_ops": "verify"},
        {**good, "n": 5},
        {**good, "n": "!" * 400},
        {**good, "e": None},
        {**good, "e": "!"},
        {**good, "alg": "RSA-OAEP"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256"},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "AKP", "crv": "P-256"},
        {"kty": 5},
        "key",
        None,
    ]
    assert len(read_keys({"keys": [*odd, good]}).keys) == 1
    for one in odd:
        with pytest.raises(BadKeys):
            read_keys({"keys": [one]})


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": []}, {"keys": "x"}])
def test_what_holds_no_keys_is_said_to(document: Any) -> None:
    with pytest.raises(BadKeys, match="no public key"):
        read_keys(document)


def test_a_document_may_hold_many_keys_but_not_any_number() -> None:
    good = Issuer("ES256").public
    assert len(read_keys({"keys": [good] * (MAX_KEYS + 5)}).keys) == MAX_KEYS


def test_a_key_that_is_for_one_algorithm_is_for_no_other() -> None:
    issuer, other = Issuer("RS256"), Issuer("RS512")
    keys = read_keys({"keys": [{**issuer.public, "alg": "RS256"}]}, "https://idp.test")
    assert keys.issuer == "https://idp.test"
    assert proven(keys, issuer.sign(CLAIMS)) == [CLAIMS]
    assert proven(keys, other.sign(CLAIMS)) == []
    edwards = Issuer("Ed25519")
    named = read_keys({"keys": [{**edwards.public, "alg": "EdDSA"}]})
    assert proven(named, edwards.sign(CLAIMS)) == [CLAIMS]


def test_where_joserfc_is_not_installed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("joserfc"):
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BadKeys, match=r"pip install 'pointsman\[oidc\]'"):
        read_keys({"keys": []})
