"""What a request has around what it asks for: a modern client tells who it is with each, and results say what they are.

Everything that is not named here goes through as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.mcp.base import Introduction
from pointsman.mcp.protocol import revisions
from pointsman.mcp.protocol.meta import members_of, meta_of
from pointsman.wire.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, Message, RpcError

OURS: Final = frozenset({revisions.VERSION, revisions.INFO, revisions.CAPABILITIES, revisions.LOG_LEVEL})
"""Members of ``_meta`` that are between a modern client and us."""
ANSWERS: Final = "inputResponses"
STATE: Final = "requestState"
UNCACHED: Final[Mapping[str, Any]] = {"ttlMs": 0, "cacheScope": "private"}
OF_DISCOVERY: Final = frozenset({"supportedVersions", "ttlMs", "cacheScope", "resultType"})
OF_INITIALIZE: Final = frozenset({"protocolVersion", "serverInfo"})
CAPABILITY_GONE: Final = frozenset({"tasks"})
"""Capabilities of servers that a modern client would take for something else."""
TTL_MS: Final = 60_000
"""For which a client may believe what a server says of itself, where that does not say it."""
STATUSES: Final[Mapping[int, int]] = {
    -32700: 400,
    -32600: 400,
    -32602: 400,
    -32601: 404,
    revisions.HEADER_MISMATCH: 400,
    revisions.MISSING_CAPABILITY: 400,
    revisions.UNSUPPORTED_VERSION: 400,
}
"""Of the HTTP reply to a modern client, by the code of the error."""
_encode = msgspec.json.encode


class Envelope(msgspec.Struct, frozen=True):
    """What a modern request says of its client."""

    revision: str
    capabilities: Mapping[str, Any]
    info: Mapping[str, Any]
    log_level: str | None
    params: Raw
    """Without all that."""


def packed(values: Mapping[str, Any]) -> Raw:
    """An object of such members."""
    return Raw(_encode(values))


def is_modern(params: Raw) -> bool:
    """Whether a request claims to be one of those that stand for themselves."""
    if not params or revisions.VERSION.encode() not in bytes(params):
        return False
    return revisions.VERSION in meta_of(params)


def open_envelope(message: Message) -> tuple[dict[str, Any], dict[str, Raw]]:
    """The ``_meta`` of a modern request, and its parameters.

    :raises RpcError: what has to be there is not
    """
    params = members_of(message.params)
    if "_meta" not in params:
        raise _invalid(f"'params._meta' has to have {revisions.VERSION!r} and {revisions.CAPABILITIES!r}")
    meta = _meta(params)
    for name in (revisions.VERSION, revisions.CAPABILITIES):
        if name not in meta:
            raise _invalid(f"'params._meta' has no {name!r}")
    return meta, params


def read_envelope(meta: Mapping[str, Any], params: Mapping[str, Raw]) -> Envelope:
    """What is in them, as it is to be worked with.

    :raises RpcError: it has the wrong shape, or the revision is not spoken here
    """
    revision, capabilities = meta[revisions.VERSION], meta[revisions.CAPABILITIES]
    if not isinstance(revision, str):
        raise _invalid(f"{revisions.VERSION!r} has to be a string")
    if revision not in revisions.MODERN:
        raise unsupported(revision)
    info, level = meta.get(revisions.INFO), meta.get(revisions.LOG_LEVEL)
    if not isinstance(capabilities, dict):
        raise _invalid(f"{revisions.CAPABILITIES!r} has to be an object")
    if level is not None and level not in revisions.LEVELS:
        raise _invalid(f"{revisions.LOG_LEVEL!r} is one of {', '.join(revisions.LEVELS)}")
    rest = {name: value for name, value in meta.items() if name not in OURS}
    kept: dict[str, Any] = {name: value for name, value in params.items() if name != "_meta"}
    if rest:
        kept["_meta"] = rest
    return Envelope(revision, capabilities, info if isinstance(info, dict) else {}, level, packed(kept))


def unsupported(revision: str) -> RpcError:
    """The refusal of a revision that is not spoken here."""
    data = {"supported": list(revisions.MODERN), "requested": revision[:100]}
    return RpcError(revisions.UNSUPPORTED_VERSION, "Unsupported protocol version", data, status=400)


def digest(method: str, params: Raw, *bound: object) -> str:
    """What tells a request from another one, and not from itself when it comes again with answers.

    ``bound`` is what has to be the same then, beside the request.
    """
    asked = msgspec.json.decode(params or b"{}", type=dict[str, Any])
    for name in ("_meta", ANSWERS, STATE):
        asked.pop(name, None)
    return sha256(msgspec.json.encode([method, asked, bound], order="deterministic")).hexdigest()[:32]


# -- results ----------------------------------------------------------------------------------------------------------


def completed(method: str, result: Raw) -> Raw:
    """A result as a modern client expects it: saying that it is one and, of a resource, for how long it holds.

    :raises RpcError: it is no object
    """
    text = bytes(result).strip()
    if not text.startswith(b"{"):
        raise RpcError(INTERNAL_ERROR, "The server gave a result that is no object")
    added = {} if b'"resultType"' in text and "resultType" in members_of(result) else {"resultType": "complete"}
    if method == "resources/read" and added:
        # A server that does not say what its results are does not know of caches either.
        told = members_of(result) if b'"ttlMs"' in text or b'"cacheScope"' in text else {}
        added |= {name: value for name, value in UNCACHED.items() if name not in told}
    if not added:
        return result
    rest = text[1:].lstrip()
    return Raw(_encode(added)[:-1] + (b"" if rest.startswith(b"}") else b",") + rest)


def input_state(result: Raw) -> str | None:
    """The state in a result that asks for something; ``None``: it asks for nothing, or has none."""
    if b'"input_required"' not in bytes(result):
        return None
    found = members_of(result)
    if found.get("resultType") != Raw(b'"input_required"') or STATE not in found:
        return None
    state = msgspec.json.decode(found[STATE])
    return state if isinstance(state, str) else None


def with_state(values: Raw, state: str | None) -> Raw:
    """The same object with another ``requestState``, or none."""
    found: dict[str, Any] = dict(members_of(values))
    found.pop(STATE, None)
    return packed(found if state is None else found | {STATE: state})


def input_required(requests: Mapping[str, tuple[str, Raw]], state: str) -> Raw:
    """The result that asks a client for something; ``requests`` are methods and parameters."""
    asked = {
        key: {"method": method} | ({"params": params} if params else {}) for key, (method, params) in requests.items()
    }
    return packed({"resultType": "input_required", "inputRequests": asked, STATE: state})


def initialize_result(introduction: Introduction, revision: str) -> Raw:
    """What a server says of itself, to a legacy client."""
    told = _told(introduction)
    return packed(
        {
            "protocolVersion": revision,
            "capabilities": introduction.capabilities,
            "serverInfo": introduction.info,
            **told,
        }
    )


def discover_result(introduction: Introduction) -> Raw:
    """What a server says of itself, to a modern client."""
    told = _told(introduction)
    raw = members_of(introduction.raw)
    meta: dict[str, Any] = _meta(raw) | {revisions.SERVER_INFO: introduction.info}
    capabilities = introduction.capabilities
    if introduction.era == "legacy":
        capabilities = {name: value for name, value in capabilities.items() if name not in CAPABILITY_GONE}
    return packed(
        told
        | {
            "resultType": "complete",
            "supportedVersions": revisions.MODERN,
            "capabilities": capabilities,
            "ttlMs": raw.get("ttlMs", TTL_MS),
            "cacheScope": raw.get("cacheScope", "private"),
            "_meta": meta,
        }
    )


def _told(introduction: Introduction) -> dict[str, Any]:
    """What there is beside that which each era tells in its own way."""
    gone = OF_DISCOVERY | OF_INITIALIZE | {"capabilities", "instructions"}
    told: dict[str, Any] = {name: value for name, value in members_of(introduction.raw).items() if name not in gone}
    if "_meta" in told:
        meta = {name: value for name, value in _meta(told).items() if name != revisions.SERVER_INFO}
        told = {name: value for name, value in told.items() if name != "_meta"} | ({"_meta": meta} if meta else {})
    if introduction.instructions is not None:
        told["instructions"] = introduction.instructions
    return told


# -- failures ---------------------------------------------------------------------------------------------------------


def status_of(error: RpcError) -> int:
    """Of the HTTP reply to a modern client."""
    return error.status if error.status != 200 else STATUSES.get(error.code, 200)


def _meta(params: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return msgspec.json.decode(params.get("_meta", b"{}"), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise _invalid("'params._meta' is no object") from error


def _invalid(message: str) -> RpcError:
    return RpcError(INVALID_PARAMS, message, status=400)
