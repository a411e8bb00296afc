"""A trained router as bytes: a manifest in JSON, and its arrays as safetensors.

The manifest is the root of trust. It holds the SHA-256 of the arrays, and its own ``id`` is the SHA-256 of all the rest
of it in canonical form; a signature is over that ``id``. So whatever is changed anywhere is found before anything is
used, and two checkpoints with the same ``id`` are the same. Nothing in a checkpoint is run or names a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from pointsman.ml import tensors
from pointsman.ml.base import State
from pointsman.ml.knobs import Frontier
from pointsman.ml.signing import CannotSign, is_signed, sign

SCHEMA = 1
MAX_MANIFEST_BYTES = 4 << 20
MAX_TENSOR_BYTES = 256 << 20
RETRAIN = "train it again with: pointsman train"

Text = Annotated[str, msgspec.Meta(max_length=4096)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class BadCheckpoint(ValueError):
    """A checkpoint that cannot be used: what is wrong with it, what to do, and where it lies if that is known."""

    def __init__(self, what: str, hint: str, where: str = "") -> None:
        super().__init__(f"{where}: {what} ({hint})" if where else f"{what} ({hint})")
        self.what = what
        self.hint = hint
        self.where = where

    def at(self, where: str) -> BadCheckpoint:
        """The same, with where it lies."""
        return BadCheckpoint(self.what, self.hint, where)


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A candidate, and what was known of it when the checkpoint was made."""

    name: Text
    quality: float | None = None
    """Mean over the training data, 0..1."""
    cost_usd: float | None = None
    """Mean of a request."""
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it was trained on."""

    sha256: Digest
    prompts: Count
    labels: Count
    sources: tuple[Text, ...] = ()
    licence: Text = ""


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What whoever trains says of a checkpoint."""

    strategy: Text
    embedder: Text
    """Its ``id``; :meth:`Checkpoint.expect_embedder` refuses another one."""
    features: dict[str, Any]
    """How prompts become numbers."""
    models: Annotated[tuple[Model, ...], msgspec.Meta(min_length=1, max_length=4096)]
    """In the order of the arrays."""
    baseline: Text
    """The best single model."""
    data: Data
    metrics: dict[str, tuple[float, float, float]] = {}
    """On held-out prompts: the value and the ends of its 95 % interval."""
    frontier: Frontier | None = None
    doubt: float = 1.0
    """Standard deviations by which a gain over the baseline has to be above 0."""
    licence: Text = ""
    created: Text
    """RFC 3339."""

    def __post_init__(self) -> None:
        names = {model.name for model in self.models}
        if len(names) != len(self.models) or self.baseline not in names:
            raise ValueError("models have different names, and the baseline is one of them")


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ed25519 over ``pointsman checkpoint <id>``, in hexadecimal."""

    public_key: Digest
    value: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{128}$")]


class Manifest(About, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``manifest.json``."""

    format: Literal["pointsman-checkpoint"] = "pointsman-checkpoint"
    schema: int = SCHEMA
    id: Digest
    tensors_sha256: Digest
    tensors_bytes: Count
    settings: dict[str, dict[str, Any]]
    """Of each part."""
    signature: Signature | None = None


class Packed(NamedTuple):
    """A checkpoint as bytes."""

    manifest: bytes
    tensors: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was checked. The arrays of its parts are views of the bytes it was read from, read-only."""

    manifest: Manifest
    parts: Mapping[str, State]

    def part(self, name: str) -> State:
        """What is kept under this name.

        :raises BadCheckpoint: there is no such part
        """
        if name not in self.parts:
            raise BadCheckpoint(f"it has no part {name!r}", RETRAIN)
        return self.parts[name]

    def expect_embedder(self, embedder: str) -> None:
        """Make sure that this is the embedder it was trained with.

        :raises BadCheckpoint: it is another one
        """
        if embedder != self.manifest.embedder:
            raise BadCheckpoint(
                f"it was trained with the embedder {self.manifest.embedder}, and {embedder} is configured",
                "configure that one, or " + RETRAIN,
            )


def pack(about: About, parts: Mapping[str, State], *, private_key_pem: bytes | None = None) -> Packed:
    """The bytes of a checkpoint; the same for the same arguments. They have been read back when they are given.

    :raises BadCheckpoint: they could not be read back: names, types or sizes that a checkpoint cannot hold
    :raises pointsman.ml.signing.CannotSign: the key is none, or the library for it is not installed
    """
    try:
        body = tensors.pack({f"{part}/{name}": a for part, state in parts.items() for name, a in state.arrays.items()})
    except tensors.NotTensors as error:
        raise BadCheckpoint(str(error), "use other names or types") from error
    manifest = Manifest(
        **msgspec.structs.asdict(about),
        id="",
        tensors_sha256=hashlib.sha256(body).hexdigest(),
        tensors_bytes=len(body),
        settings={name: dict(state.settings) for name, state in parts.items()},
    )
    try:
        manifest = msgspec.structs.replace(manifest, id=_id_of(manifest))
    except _NOT_WRITABLE as error:
        raise BadCheckpoint(f"its settings are not JSON: {error}", "keep plain numbers and texts there") from error
    if private_key_pem is not None:
        public_key, value = sign(private_key_pem, _signed(manifest.id))
        manifest = msgspec.structs.replace(manifest, signature=Signature(public_key=public_key, value=value))
    head = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1) + b"\n"
    unpack(head, body)
    return Packed(head, body)


def unpack(head: bytes, body: bytes | memoryview, *, trusted_keys: Collection[str] = ()) -> Checkpoint:
    """Check everything, then give what is inside.

    Where there are ``trusted_keys``, public keys in hexadecimal, one of them has to have signed it.

    :raises BadCheckpoint: it is not whole, not of a kind this version reads, or not signed by one who is trusted
    """
    manifest = read_manifest(head, trusted_keys=trusted_keys)
    if len(body) != manifest.tensors_bytes or hashlib.sha256(body).hexdigest() != manifest.tensors_sha256:
        raise BadCheckpoint("its arrays are not those that the manifest was written for", "copy both files again")
    try:
        arrays = tensors.unpack(body)
    except tensors.NotTensors as error:
        raise BadCheckpoint(f"its arrays cannot be read: {error}", RETRAIN) from error
    parts: dict[str, dict[str, Any]] = {name: {} for name in manifest.settings}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        if part not in parts or not rest:
            raise BadCheckpoint(f"it holds an array of no part, {name}", RETRAIN)
        parts[part][rest] = array
    return Checkpoint(manifest, {name: State(arrays, manifest.settings[name]) for name, arrays in parts.items()})


def read_manifest(head: bytes, *, trusted_keys: Collection[str] = ()) -> Manifest:
    """The manifest alone, checked as far as that is possible without the arrays.

    :raises BadCheckpoint: as :func:`unpack` does
    """
    if len(head) > MAX_MANIFEST_BYTES:
        raise BadCheckpoint(f"its manifest has more than {MAX_MANIFEST_BYTES >> 20} MiB", RETRAIN)
    try:
        version = _version.decode(head)
        if version.schema != SCHEMA:
            raise BadCheckpoint(
                f"its manifest has schema {version.schema}, this version reads {SCHEMA}",
                "update Pointsman" if version.schema > SCHEMA else RETRAIN,
            )
        manifest = _manifest.decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadCheckpoint(f"its manifest cannot be read: {error}", RETRAIN) from None
    try:
        found = _id_of(manifest)
    except _NOT_WRITABLE as error:
        # There is more that can be read than can be written again: what is nested deeply, above all.
        raise BadCheckpoint(f"its manifest cannot be read: {error}", RETRAIN) from None
    if manifest.id != found:
        raise BadCheckpoint("its manifest was changed after it was written", "copy both files again, or " + RETRAIN)
    if manifest.tensors_bytes > MAX_TENSOR_BYTES:
        raise BadCheckpoint(f"its arrays have more than {MAX_TENSOR_BYTES >> 20} MiB", RETRAIN)
    if trusted_keys:
        _expect_signature(manifest, trusted_keys)
    return manifest


def _expect_signature(manifest: Manifest, trusted_keys: Collection[str]) -> None:
    signature = manifest.signature
    if signature is None or signature.public_key not in trusted_keys:
        raise BadCheckpoint("nobody who is trusted has signed it", "sign it with a key whose public half is configured")
    try:
        if not is_signed(signature.public_key, signature.value, _signed(manifest.id)):
            raise BadCheckpoint("its signature is wrong", "copy both files again, or sign it anew")
    except CannotSign as error:
        raise BadCheckpoint(str(error), "or trust unsigned checkpoints") from error


class _Version(msgspec.Struct):
    format: Literal["pointsman-checkpoint"]
    schema: int


_NOT_WRITABLE = (TypeError, ValueError, OverflowError, RecursionError)
_version = msgspec.json.Decoder(_Version)
_manifest = msgspec.json.Decoder(Manifest)


def _id_of(manifest: Manifest) -> str:
    bare = msgspec.structs.replace(manifest, id="", signature=None)
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()


def _signed(checkpoint_id: str) -> bytes:
    return f"pointsman checkpoint {checkpoint_id}".encode()
