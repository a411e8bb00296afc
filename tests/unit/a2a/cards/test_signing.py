from __future__ import annotations

import sys
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from unit.a2a.cards.keys import Private, jwk, pem, signature, with_signature

from pointsman.a2a.cards.jcs import canonical
from pointsman.a2a.cards.shapes import bare
from pointsman.a2a.cards.signing import CannotSign, Covers, Signature, Signer, signatures_of
from pointsman.wire.secret import Secret

CARD: dict[str, Any] = {
    "name": "Agent",
    "description": "",
    "version": "1.0.0",
    "supportedInterfaces": [
        {"url": "https://agent.example/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": ""}
    ],
    "capabilities": {"streaming": False},
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "a", "name": "Ä", "description": "x", "tags": [], "examples": []}],
    "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
}
KEYS: dict[str, Private] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.requirement("a2a.card-signatures")
@pytest.mark.parametrize("alg", KEYS)
def test_a_signature_covers_the_canonical_form_of_the_specification(alg: str) -> None:
    card = with_signature(CARD, KEYS[alg], canonical(bare(CARD)), alg=alg, kid="k", typ="JOSE")
    (found,) = signatures_of(card)
    key = jwk(KEYS[alg], kid="k")
    assert found.fits(key)
    assert Covers(card).by(found, key) == CARD
    assert Covers({**card, "name": "Other"}).by(found, key) is None


def test_members_that_a_signature_does_not_cover_are_not_believed() -> None:
    key = KEYS["ES256"]
    card = with_signature(CARD, key, canonical(bare(CARD)), alg="ES256", kid="k")
    card |= {"url": "https://agent.example/", "protocolVersion": "0.3.0"}
    assert Covers(card).by(signatures_of(card)[0], jwk(key)) == CARD


def test_a_card_of_version_0_3_is_signed_as_a_whole() -> None:
    card = {"name": "Agent", "url": "https://agent.example/", "protocolVersion": "0.3.0", "x": 1}
    signed = with_signature(card, KEYS["EdDSA"], canonical(card), alg="EdDSA", kid="k")
    assert Covers(signed).by(signatures_of(signed)[0], jwk(KEYS["EdDSA"])) == card


@pytest.mark.parametrize(
    "other",
    [
        {"kid": "other"},
        {"alg": "ES384"},
        {"use": "enc"},
        {"crv": "P-384"},
        {"kty": "oct"},
    ],
)
def test_a_key_that_is_for_something_else_does_not_fit(other: dict[str, str]) -> None:
    found = Signature("ES256", "k", None, "", b"")
    key = jwk(KEYS["ES256"], kid="k")
    assert found.fits(key)
    assert not found.fits(key | other)
    assert not Signature("none", "k", None, "", b"").fits(key)
    assert not Signature("HS256", "k", None, "", b"").fits({"kty": "oct", "k": "c2VjcmV0"})


@pytest.mark.parametrize("key", [{"kty": "EC"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "OKP", "x": 1}])
def test_a_key_that_cannot_be_read_proves_nothing(key: dict[str, Any]) -> None:
    assert Covers(CARD).by(Signature("ES256", None, None, "e30", b"0" * 64), key) is None


def test_an_rsa_key_that_is_too_short_proves_nothing() -> None:
    short = rsa.generate_private_key(65537, 1024)
    card = with_signature(CARD, short, canonical(bare(CARD)), alg="RS256", kid="k")
    assert Covers(card).by(signatures_of(card)[0], jwk(short)) is None


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        [1, {}, {"protected": 1, "signature": ""}, {"protected": "!", "signature": ""}],
        [{"protected": "W10", "signature": ""}],
        [signature(KEYS["ES256"], b"x", alg="ES256", kid="k", crit=["b64"], b64=False)],
    ],
)
def test_signatures_that_cannot_be_read_are_passed_over(told: Any) -> None:
    assert signatures_of({"signatures": told}) == []


@pytest.mark.requirement("a2a.card-signatures")
def test_a_card_is_signed_so_that_its_key_proves_it() -> None:
    signer = Signer(pem(KEYS["ES256"]))
    made = {**CARD, "signatures": signer.sign(CARD, "https://gate.example/.well-known/jwks.json")}
    found = signatures_of(made)
    # One for the canonical form of the specification, and one for that of the SDK.
    assert [(one.alg, one.kid) for one in found] == [("ES256", signer.kid)] * 2
    assert {one.jku for one in found} == {"https://gate.example/.well-known/jwks.json"}
    assert all(one.fits(signer.jwk) and Covers(made).by(one, signer.jwk) == CARD for one in found)
    assert signer.jwk.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert signer.sign(CARD, "") == Signer(pem(KEYS["ES256"])).sign(CARD, "")


def test_a_library_that_signs_by_chance_alone_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    by_chance = ec.ECDSA

    def only_by_chance(kind: Any, **more: Any) -> ec.ECDSA:
        if more:
            raise UnsupportedAlgorithm("")
        return by_chance(kind)

    monkeypatch.setattr(ec, "ECDSA", only_by_chance)
    signer = Signer(pem(KEYS["ES256"]))
    made = {**CARD, "signatures": signer.sign(CARD, "")}
    assert all(Covers(made).by(one, signer.jwk) == CARD for one in signatures_of(made))


@pytest.mark.parametrize(
    "text",
    ["", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----", pem(KEYS["RS256"]).reveal()],
)
def test_a_key_that_is_none_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(CannotSign, match="the key that cards are signed with") as error:
        Signer(Secret(text))
    assert error.value.__cause__ is None


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cryptography.exceptions", "cryptography"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CannotSign, match=r"pip install 'pointsman\[signing\]'"):
        Signer(pem(KEYS["ES256"]))
    with pytest.raises(CannotSign, match=r"pip install 'pointsman\[signing\]'"):
        Covers(CARD).by(Signature("ES256", None, None, "e30", b""), jwk(KEYS["ES256"]))
