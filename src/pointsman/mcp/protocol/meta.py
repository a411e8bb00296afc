"""The ``_meta`` member of parameters and results: what is looked at is decoded, all else stays as it came."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.wire.jsonrpc import INVALID_PARAMS, RpcError

PROGRESS: Final = "progressToken"

Members = dict[str, Raw]

_decode = msgspec.json.Decoder(Members).decode
_encode = msgspec.json.Encoder().encode


def members_of(value: Raw, name: str = "params") -> Members:
    """The members of an object, each as it came; none where there is no object at all.

    :raises RpcError: it is something else
    """
    if not value:
        return {}
    try:
        return _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RpcError(INVALID_PARAMS, f"{name!r} is no object") from error


def meta_of(params: Raw) -> Members:
    """The members of ``params._meta``; none where there is none.

    :raises RpcError: one of the two is no object
    """
    meta = members_of(params).get("_meta")
    return {} if meta is None else members_of(meta, "_meta")


def with_meta(params: Raw, added: Mapping[str, Any], dropped: Collection[str] = ()) -> Raw:
    """``params`` with members of ``_meta`` added (or replaced) and dropped; a ``_meta`` that is then empty goes too.

    :raises RpcError: ``params`` or its ``_meta`` is no object
    """
    members = members_of(params)
    meta: dict[str, Any] = {}
    if "_meta" in members:
        meta.update(members_of(members["_meta"], "_meta"))
    for name in dropped:
        meta.pop(name, None)
    meta.update(added)
    if meta:
        members["_meta"] = Raw(_encode(meta))
    else:
        members.pop("_meta", None)
    return Raw(_encode(members))


def with_members(params: Raw, added: Mapping[str, Any]) -> Raw:
    """``params`` with members added or replaced.

    :raises RpcError: it is no object
    """
    return Raw(_encode(members_of(params) | {name: Raw(_encode(value)) for name, value in added.items()}))


def text_of(members: Members, name: str) -> str:
    """A member that is a text; empty where it is not there or something else."""
    try:
        return msgspec.json.decode(members.get(name, b'""'), type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
