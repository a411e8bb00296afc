"""Batches as Anthropic has them: its requests as lines, our batches and results in its words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pointsman.batches.protocol.objects import BatchDoc
from pointsman.batches.protocol.states import ENDED
from pointsman.errors import InvalidRequest
from pointsman.store.work import BatchRow, State

ENDPOINT: Final = "/v1/messages"
KIND: Final = "anthropic"
OVERHEAD: Final = 1024
"""Bytes at most that a line has more than the request that it is made of."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NEVER_RAN: Final = {"batch_expired": "expired", "batch_cancelled": "canceled"}
_TO_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")
_encode: Final = msgspec.json.Encoder().encode


class _Params(msgspec.Struct):
    stream: Raw | UnsetType = UNSET


class _Request(msgspec.Struct):
    custom_id: Any = None
    params: Raw | UnsetType = UNSET


class _Response(msgspec.Struct):
    status_code: int
    body: Raw


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


_REQUEST: Final = msgspec.json.Decoder(_Request)
_PARAMS: Final = msgspec.json.Decoder(_Params)
_LINE: Final = msgspec.json.Decoder(_Line)


class RequestLines:
    """Makes the lines of an input file out of requests, of which no two may have the same id."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def line(self, request: bytes) -> bytes:
        """The line of the next request, ended.

        :raises InvalidRequest: it is none; what ``params`` say is looked at when it is run
        """
        place = f"requests.{len(self._ids)}"
        try:
            request.decode()
            read = _REQUEST.decode(request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InvalidRequest(f"{place}: it is not valid JSON", param=place) from None
        self._note(read.custom_id, f"{place}.custom_id")
        params = _params(read.params, f"{place}.params")
        return b'{"custom_id":%b,"method":"POST","url":"%b","body":%b}\n' % (
            _encode(read.custom_id),
            ENDPOINT.encode(),
            params,
        )

    def _note(self, custom_id: Any, place: str) -> None:
        if custom_id is None:
            raise InvalidRequest(f"{place}: Field required", param=place)
        if not isinstance(custom_id, str) or not _ID.fullmatch(custom_id):
            raise InvalidRequest(f"{place}: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'", param=place)
        if custom_id in self._ids:
            raise InvalidRequest(f"{place}: {custom_id!r} is there already; each must be the only one", param=place)
        self._ids.add(custom_id)


def _params(raw: Raw | UnsetType, place: str) -> bytes:
    if isinstance(raw, UnsetType):
        raise InvalidRequest(f"{place}: Field required", param=place)
    try:
        stream = _PARAMS.decode(raw).stream
    except msgspec.DecodeError:
        raise InvalidRequest(f"{place}: Input should be an object", param=place) from None
    if stream is not UNSET and bytes(stream) not in {b"false", b"null"}:
        raise InvalidRequest(f"{place}.stream: a request of a batch cannot be streamed", param=f"{place}.stream")
    # Inside strings JSON has no line ends.
    return bytes(raw).translate(_TO_ONE_LINE)


def message_batch(row: BatchRow) -> dict[str, Any]:
    """A batch in Anthropic's words.

    Its ``results_url`` has no host: clients send their key there, and know best by which address they have come.
    """
    is_over = row.state in ENDED
    status = "ended" if is_over else "canceling" if row.cancelling_at is not None else "in_progress"
    return {
        "id": row.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": _counts(row, is_over=is_over),
        "created_at": _moment(row.created_at),
        "expires_at": _moment(row.expires_at),
        "ended_at": _moment(row.ended_at) if is_over else None,
        "cancel_initiated_at": _moment(row.cancelling_at),
        "archived_at": None,
        "results_url": f"{ENDPOINT}/batches/{row.id}/results" if is_over else None,
    }


def _counts(row: BatchRow, *, is_over: bool) -> dict[str, int]:
    """All are being processed until the whole batch has ended."""
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    if not is_over:
        return counts | {"processing": row.total}
    never_ran = row.total - row.completed - row.failed
    rest = {"cancelled": "canceled", "expired": "expired"}.get(row.state, "errored")
    counts |= {"succeeded": row.completed, "errored": row.failed}
    counts[rest] += never_ran
    return counts


def result_line(line: bytes) -> bytes:
    """A line of an output or error file in Anthropic's words, ended."""
    read = _LINE.decode(line)
    return told_line(read.custom_id, _result(read))


def _result(line: _Line) -> dict[str, Any]:
    response, error = line.response, line.error
    if response is None:
        code, message = ("", "") if error is None else (error.code, error.message)
        kind = _NEVER_RAN.get(code)
        return errored(message) if kind is None else {"type": kind}
    if response.status_code < 300:
        return {"type": "succeeded", "message": response.body}
    return {"type": "errored", "error": response.body}


def errored(message: str) -> dict[str, Any]:
    """The result of a request that this gateway could not even begin."""
    error = {"type": "api_error", "message": message or "The request was not run"}
    return {"type": "errored", "error": {"type": "error", "error": error, "request_id": None}}


def never_run(state: State, doc: BatchDoc) -> dict[str, Any]:
    """The result of each request of a batch that has ended before any of them could be run."""
    if state == "cancelled":
        return {"type": "canceled"}
    return errored(doc.errors[0].message if doc.errors else "")


def told_line(custom_id: str, result: dict[str, Any]) -> bytes:
    """A request's result, ended."""
    return _encode({"custom_id": custom_id, "result": result}) + b"\n"


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
