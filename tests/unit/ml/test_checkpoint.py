from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from unit.ml.checkpoints import ABOUT, PARTS, mutations

from pointsman.ml.base import State
from pointsman.ml.checkpoint import MAX_MANIFEST_BYTES, BadCheckpoint, Packed, pack, read_manifest, unpack

PACKED = pack(ABOUT, PARTS)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC = KEY.public_key().public_bytes_raw().hex()


def changed(**fields: Any) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(PACKED.manifest), **fields})


def test_what_is_packed_comes_back() -> None:
    found = unpack(*PACKED)
    assert msgspec.structs.asdict(found.manifest).items() >= msgspec.structs.asdict(ABOUT).items()
    assert found.parts.keys() == PARTS.keys()
    for name, part in PARTS.items():
        assert found.part(name).settings == part.settings
        assert found.part(name).arrays.keys() == part.arrays.keys()
        for key, array in part.arrays.items():
            assert found.part(name).arrays[key].dtype == array.dtype
            assert (found.part(name).arrays[key] == array).all()


def test_the_same_makes_the_same_bytes() -> None:
    turned = {name: PARTS[name] for name in reversed(PARTS)}
    assert pack(ABOUT, turned) == PACKED


def test_the_id_is_of_everything_in_it() -> None:
    ids = {
        read_manifest(pack(about, parts).manifest).id
        for about, parts in [
            (ABOUT, PARTS),
            (msgspec.structs.replace(ABOUT, doubt=1.5), PARTS),
            (ABOUT, PARTS | {"features": State({}, {"mean": [0.5, 1.6]})}),
            (ABOUT, PARTS | {"features": State({"x": np.zeros(1)}, {"mean": [0.5, 1.5]})}),
        ]
    }
    assert len(ids) == 4


def test_how_the_manifest_is_laid_out_does_not_matter() -> None:
    fields = msgspec.json.decode(PACKED.manifest)
    compact = msgspec.json.encode(dict(reversed(fields.items())))
    assert unpack(compact, PACKED.tensors).manifest == unpack(*PACKED).manifest


@pytest.mark.parametrize("field", ["strategy", "embedder", "baseline", "doubt", "created", "settings", "metrics"])
def test_a_manifest_that_was_changed_is_refused(field: str) -> None:
    other: dict[str, Any] = {"doubt": 0.0, "settings": {"estimator": {}}, "metrics": {}, "baseline": "small"}
    with pytest.raises(BadCheckpoint, match="changed after it was written"):
        unpack(changed(**{field: other.get(field, "another")}), PACKED.tensors)


def test_arrays_of_another_checkpoint_are_refused() -> None:
    other = pack(ABOUT, PARTS | {"embedder": State({"table": np.ones(40, np.float16), "seen": np.ones(2, np.bool_)})})
    with pytest.raises(BadCheckpoint, match="not those that the manifest was written for"):
        unpack(PACKED.manifest, other.tensors)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"schema": 2}, "update Pointsman"),
        ({"schema": 0}, "pointsman train"),
        ({"schema": "1"}, "cannot be read"),
        ({"format": "something else"}, "cannot be read"),
        ({"module": "os:system"}, "cannot be read"),
        ({"models": []}, "cannot be read"),
        ({"baseline": "unheard of"}, "cannot be read"),
        ({"id": "../../etc/passwd"}, "cannot be read"),
        ({"frontier": {"price": [0.0], "cost_usd": [], "quality": [0.5], "baseline_quality": 0.5}}, "cannot be read"),
    ],
)
def test_a_manifest_of_another_kind_says_what_to_do(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(BadCheckpoint, match=what):
        unpack(changed(**fields), PACKED.tensors)


@pytest.mark.parametrize("head", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_manifest_is_refused(head: bytes) -> None:
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        unpack(head, PACKED.tensors)


def test_a_manifest_that_is_nested_more_deeply_than_it_can_be_written_is_refused() -> None:
    # What can just be read and not be written depends on how deep the stack is, so every depth is tried.
    for depth in (*range(1, 1_200), 20_000):
        nested = b'"features": ' + b'{"a":' * depth + b"1" + b"}" * depth
        head = re.sub(rb'"features": \{[^{}]*\}', nested, PACKED.manifest, count=1)
        with pytest.raises(BadCheckpoint):
            unpack(head, PACKED.tensors)


def test_what_is_nested_too_deeply_to_be_written_is_not_packed() -> None:
    deep: dict[str, Any] = {}
    for _ in range(20_000):
        deep = {"a": deep}
    with pytest.raises(BadCheckpoint, match="not JSON"):
        pack(msgspec.structs.replace(ABOUT, features=deep), PARTS)


def test_a_manifest_that_is_too_long_is_not_even_parsed() -> None:
    with pytest.raises(BadCheckpoint, match="4 MiB"):
        unpack(b" " * (MAX_MANIFEST_BYTES + 1), b"")


def sealed(**fields: Any) -> bytes:
    """A manifest whose id fits, as whoever forges one would make it."""
    raw = {**msgspec.json.decode(PACKED.manifest), **fields, "id": "", "signature": None}
    manifest = unpack(*PACKED).manifest
    ordered = {name: raw[name] for name in manifest.__struct_fields__}
    digest = hashlib.sha256(
        msgspec.json.encode(
            msgspec.convert({**ordered, "id": "0" * 64}, type(manifest)), order="deterministic"
        ).replace(b'"id":"' + b"0" * 64, b'"id":"')
    ).hexdigest()
    return msgspec.json.encode({**ordered, "id": digest})


def test_a_forged_manifest_gains_nothing_by_what_it_claims() -> None:
    assert unpack(sealed(), PACKED.tensors).manifest == unpack(*PACKED).manifest
    with pytest.raises(BadCheckpoint, match="256 MiB"):
        unpack(sealed(tensors_bytes=1 << 40), PACKED.tensors)
    with pytest.raises(BadCheckpoint, match="of no part"):
        unpack(sealed(settings={"estimator": {}}), PACKED.tensors)
    body = b"\x00" * 100
    fields = {"tensors_bytes": 100, "tensors_sha256": hashlib.sha256(body).hexdigest()}
    with pytest.raises(BadCheckpoint, match="arrays cannot be read"):
        unpack(sealed(**fields), body)


def test_a_signed_one_is_taken_by_who_trusts_the_key() -> None:
    signed = pack(ABOUT, PARTS, private_key_pem=PEM)
    assert unpack(*signed, trusted_keys=[PUBLIC]).manifest.id == unpack(*PACKED).manifest.id
    assert unpack(*signed).manifest.signature is not None


def test_an_unsigned_one_is_refused_by_who_trusts_a_key() -> None:
    with pytest.raises(BadCheckpoint, match="nobody who is trusted"):
        unpack(*PACKED, trusted_keys=[PUBLIC])
    with pytest.raises(BadCheckpoint, match="nobody who is trusted"):
        unpack(*pack(ABOUT, PARTS, private_key_pem=PEM), trusted_keys=["00" * 32])


def test_a_signature_of_another_checkpoint_is_refused() -> None:
    other = pack(msgspec.structs.replace(ABOUT, doubt=0.0), PARTS, private_key_pem=PEM)
    signature = msgspec.json.decode(other.manifest)["signature"]
    with pytest.raises(BadCheckpoint, match="signature is wrong"):
        unpack(changed(signature=signature), PACKED.tensors, trusted_keys=[PUBLIC])


@pytest.mark.parametrize(
    "parts",
    [
        {"estimator": State({"x": np.array(["text"])})},
        {"estimator": State({"a b": np.zeros(1)})},
        {"": State({"x": np.zeros(1)})},
        {"estimator": State({}, {"f": object()})},
    ],
)
def test_what_a_checkpoint_cannot_hold_is_refused_before_it_is_written(parts: dict[str, State]) -> None:
    with pytest.raises(BadCheckpoint):
        pack(ABOUT, parts)


def test_a_part_that_is_missing_is_said_so() -> None:
    with pytest.raises(BadCheckpoint, match="no part 'users'"):
        unpack(*PACKED).part("users")


def test_another_embedder_is_refused_with_both_names() -> None:
    found = unpack(*PACKED)
    found.expect_embedder("hashed-v1-256")
    with pytest.raises(BadCheckpoint, match="embedder hashed-v1-256, and static-v2 is configured"):
        found.expect_embedder("static-v2")


def test_a_problem_says_where_it_is() -> None:
    problem = BadCheckpoint("it is bad", "train it").at("/models/router")
    assert str(problem) == "/models/router: it is bad (train it)"
    assert (problem.what, problem.hint, problem.where) == ("it is bad", "train it", "/models/router")


def test_whatever_is_done_to_the_bytes_it_is_refused_or_the_same() -> None:
    whole = unpack(*PACKED)
    refused = 0
    for mutation in mutations(Packed(*PACKED), 600, seed=1):
        try:
            found = unpack(mutation.manifest, mutation.tensors)
        except BadCheckpoint:
            refused += 1
        else:
            assert found.manifest.id == whole.manifest.id
            assert found.manifest == whole.manifest
            assert mutation.tensors == PACKED.tensors
    assert refused > 550
