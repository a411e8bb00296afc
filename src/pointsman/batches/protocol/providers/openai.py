"""A batch in OpenAI's words; Azure has the same but for a few.

Lines are told apart by their numbers: what callers call them stays here.

Sources: platform.openai.com/docs/api-reference/batch, .../files; learn.microsoft.com/azure/foundry/openai/how-to/batch,
learn.microsoft.com/rest/api/azureopenai/files.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.protocol.providers.base import GONE, OK, Got, passed
from pointsman.wire.usage import Usage, find_usage, splice_answer_model

ENDPOINTS: Final = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations"}
)
"""What there are batches of."""
OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
"""How a batch can end there."""
MARK: Final = "pointsman_batch"
"""The member of its metadata that says whose it is."""
KEPT_SECONDS: Final = 14 * 86_400
"""That an input file is kept there. Azure takes no less; of files that stay for ever it takes few."""
PENDING: Final = frozenset({"pending", "running", "notrunning"})
"""States of a file of which no batch can be made yet."""
NOT_RUN: Final = frozenset({"batch_expired", "batch_cancelled"})
"""Errors of lines that were not begun when their batch ended."""
BOUNDARY: Final = "pointsman-batch-file"
FORM: Final = f"multipart/form-data; boundary={BOUNDARY}"
_FIELDS: Final = {
    "purpose": "batch",
    "expires_after[anchor]": "created_at",
    "expires_after[seconds]": str(KEPT_SECONDS),
}
_PART: Final = f"--{BOUNDARY}\r\ncontent-disposition: form-data; name="
OPENING: Final = (
    "".join(f'{_PART}"{name}"\r\n\r\n{value}\r\n' for name, value in _FIELDS.items())
    + f'{_PART}"file"; filename="batch.jsonl"\r\ncontent-type: application/octet-stream\r\n\r\n'
).encode()
"""Of the form with the input file, up to its first line."""
CLOSING: Final = f"\r\n--{BOUNDARY}--\r\n".encode()
MAX_SHOWN: Final = 300
"""Bytes of what it says of a batch, in the log."""
_encode: Final = msgspec.json.Encoder().encode


class Told(msgspec.Struct, frozen=True):
    """A batch as the provider tells of it."""

    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: msgspec.Raw = msgspec.Raw(b"null")
    metadata: dict[str, Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.status.lower() in OVER

    @property
    def problem(self) -> str:
        """Why there are lines that it has not run; empty: it has run them all."""
        if self.status.lower() == "completed":
            return ""
        return f"{self.status}: {bytes(self.errors)[:MAX_SHOWN].decode('utf-8', 'replace')}"

    @property
    def files(self) -> list[str]:
        """What it has written; where there is none, Azure may say so by an empty id."""
        return [file for file in (self.output_file_id, self.error_file_id) if file]


class Listed(msgspec.Struct, frozen=True):
    """The latest batches there."""

    data: list[Told]
    has_more: bool = False


class Made(msgspec.Struct, frozen=True):
    """A file there."""

    id: str
    status: str | None = None

    @property
    def is_pending(self) -> bool:
        """Whether it has to be waited for, as at Azure."""
        return (self.status or "").lower() in PENDING


class _Response(msgspec.Struct):
    status_code: int = 0
    request_id: str | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Failure(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Failure | None = None


def asked(number: int, request: LineRequest, model: str) -> bytes:
    """A line of the provider's input file; ``model`` is what it calls the model.

    :raises InvalidRequest: the gateway itself would have to do something about it
    """
    body = passed(request, model)
    line = {"custom_id": str(number), "method": "POST", "url": request.endpoint, "body": body}
    return _encode(line) + b"\n"


def got(line: bytes, model: str) -> Got | None:
    """What a line of its output or error file says, with the public name of the model; ``None``: it was not run."""
    try:
        read = msgspec.json.decode(line, type=_Line)
        number = int(read.custom_id)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    response = read.response
    if response is None or not response.status_code:
        if read.error is not None and read.error.code in NOT_RUN:
            return None
        failure = read.error or _Failure()
        told = {"message": failure.message or GONE, "type": "upstream_error", "param": None, "code": failure.code}
        return Got(number, 502, _encode({"error": told}), "", Usage())
    body = bytes(response.body)
    if response.status_code == OK:
        body = splice_answer_model(body, model)
    return Got(number, response.status_code, body, response.request_id or "", find_usage(body) or Usage())
