"""A batch in Anthropic's words: message batches, whose requests are all in the body that asks for them.

They take no metadata. So that a batch can be known again, each request is called by the id of the gateway's batch and
the number of its line; what callers call them stays here.

Sources: platform.claude.com/docs/en/api/messages/batches (create, retrieve, list, cancel, results),
.../build-with-claude/batch-processing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from pointsman.batches.protocol.anthropic import errored
from pointsman.batches.protocol.providers.base import GONE, OK, Got
from pointsman.providers.dialects.anthropic.errors import status_of
from pointsman.wire.usage import Usage, find_usage, splice_answer_model

ENDPOINT: Final = "/v1/messages"
"""Whose requests pass as they are."""
TRANSLATED: Final = "/v1/chat/completions"
"""Whose requests are put into its words."""
VERSION: Final = "anthropic-version"
CARRIED: Final = frozenset({VERSION, "anthropic-beta"})
"""Headers of the request for a batch that hold for each of its lines there as well."""
VERSIONS: Final = frozenset({"2023-06-01", "2026-10-21"})
"""Of the API, in which batches and results have what is read of them here."""
MAX_REQUESTS: Final = 100_000
MAX_BYTES: Final = 256_000_000
OPENING: Final = b'{"requests":['
CLOSING: Final = b"]}"
CLOCKS_SECONDS: Final = 3_600.0
"""That its clock may differ from ours. Too much costs waiting for somebody else's batch, too little a second batch."""
MAX_DIGITS: Final = 9
"""Of the number of a line."""
NOTHING: Final = b"null"
_NOT_RUN: Final = frozenset({"canceled", "expired"})
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What is raised for text that is no JSON, is none of that kind, or is not UTF-8."""
_encode: Final = msgspec.json.Encoder().encode


class Counts(msgspec.Struct, frozen=True):
    """How many requests of a batch are in which state; the sum is always all of them."""

    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired


class Told(msgspec.Struct, frozen=True):
    """A batch as the provider tells of it."""

    id: str
    processing_status: str
    created_at: datetime
    request_counts: Counts = Counts()

    @property
    def is_over(self) -> bool:
        """Whether nothing more becomes of it, and its results can be read."""
        return self.processing_status == "ended"

    @property
    def problem(self) -> str:
        """Why there are requests that it has not run; empty: there are none."""
        counts = self.request_counts
        if not (counts.canceled or counts.expired):
            return ""
        return f"ended with {counts.canceled} canceled and {counts.expired} expired requests"

    def was_made(self, since: float, until: float) -> bool:
        """Whether that may have been between these moments, in seconds since 1970 by our clock."""
        return not self.is_older(since) and self.created_at.timestamp() <= until + CLOCKS_SECONDS

    def is_older(self, moment: float) -> bool:
        """Whether it was surely made before that."""
        return self.created_at.timestamp() < moment - CLOCKS_SECONDS


class Listed(msgspec.Struct, frozen=True):
    """A page of batches, the latest first."""

    data: list[Told]
    has_more: bool = False


class _Result(msgspec.Struct):
    type: str = ""
    message: msgspec.Raw = msgspec.Raw(NOTHING)
    error: msgspec.Raw = msgspec.Raw(NOTHING)


class _Line(msgspec.Struct):
    custom_id: str
    result: _Result = msgspec.field(default_factory=_Result)


class _Error(msgspec.Struct):
    request_id: str | None = None


def takes(headers: Mapping[str, str]) -> bool:
    """Whether that holds for each line there too: betas are passed on, and so are versions that are known."""
    return headers.keys() <= CARRIED and (VERSION not in headers or headers[VERSION] in VERSIONS)


def asked(mark: str, number: int, params: Any) -> bytes:
    """A request of the body that asks for a batch."""
    return _encode({"custom_id": f"{mark}-{number}", "params": params})


def is_marked(line: bytes, mark: str) -> bool:
    """Whether a line of results is of the batch that was asked for under this mark."""
    read = _read(line)
    if read is None:
        # What cannot be read proves nothing but by the mark itself, which nobody else has.
        return f'"{mark}-'.encode() in line
    return _number(read.custom_id, mark) is not None


def got(line: bytes, mark: str, model: str) -> Got | None:
    """What a line of results says, with the public name of the model; ``None``: it was not run, or is not ours."""
    read = _read(line)
    number = None if read is None else _number(read.custom_id, mark)
    if read is None or number is None or read.result.type in _NOT_RUN:
        return None
    if read.result.type == "succeeded":
        body = splice_answer_model(bytes(read.result.message), model)
        return Got(number, OK, body, read.custom_id, find_usage(body) or Usage())
    body = bytes(read.result.error)
    told = _told(body) if read.result.type == "errored" else None
    if told is None:
        return Got(number, 502, _encode(errored(GONE)["error"]), read.custom_id, Usage())
    return Got(number, status_of(told), body, _request_id(body) or read.custom_id, Usage())


def _read(line: bytes) -> _Line | None:
    try:
        return msgspec.json.decode(line, type=_Line)
    except _UNREADABLE:
        return None


def _told(error: bytes) -> Any:
    try:
        return msgspec.json.decode(error)
    except _UNREADABLE:
        return None


def _number(custom_id: str, mark: str) -> int | None:
    head, _, digits = custom_id.rpartition("-")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS
    return int(digits) if head == mark and is_number else None


def _request_id(error: bytes) -> str | None:
    try:
        return msgspec.json.decode(error, type=_Error).request_id
    except msgspec.MsgspecError:
        return None
