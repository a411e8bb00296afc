"""A batch in Gemini's words: an uploaded file of requests, and an operation that is made of it and has a name.

Lines are told apart by their numbers, and the batch by the name that it is shown under, which is the gateway's id.

Sources: ai.google.dev/api/batch-mode, ai.google.dev/gemini-api/docs/batch-api, ai.google.dev/api/files,
cloud.google.com/apis/design/errors, and the requests of google-genai 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

ENDPOINTS: Final = frozenset({"/v1/chat/completions", "/v1/messages"})
"""Of whose requests there are batches, in its own words."""
VERSION: Final = "/v1beta"
"""Of the API: that of the requests that are put into its words."""
FILE_TYPE: Final = "application/jsonl"
UPLOAD_URL: Final = b"x-goog-upload-url"
OVER: Final = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"})
"""How a batch can end there."""
MAX_DIGITS: Final = 9
"""Of the number of a line."""
NOTHING: Final = b"null"
_STATUSES: Final[Mapping[int, int]] = MappingProxyType(
    {1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501}
    | {13: 500, 14: 503, 15: 500, 16: 401}
)
"""Of HTTP, by the codes of google.rpc."""
_encode: Final = msgspec.json.Encoder().encode


class Problem(msgspec.Struct, frozen=True):
    """``google.rpc.Status``."""

    code: int = 0
    message: str = ""

    @property
    def status(self) -> int:
        """Of HTTP; some of its errors have that as their code already."""
        return self.code if 400 <= self.code < 600 else _STATUSES.get(self.code, 500)


class Output(msgspec.Struct, frozen=True, rename="camel"):
    """Where its results are."""

    responses_file: str | None = None


class About(msgspec.Struct, frozen=True, rename="camel"):
    """What is told of a batch."""

    state: str = ""
    display_name: str | None = None
    output: Output = Output()


class Told(msgspec.Struct, frozen=True):
    """A batch, which is an operation there."""

    name: str
    metadata: About = About()
    done: bool = False
    error: Problem | None = None
    response: Output = Output()

    @property
    def is_over(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.done or self._state in OVER

    @property
    def problem(self) -> str:
        """Why there are lines that it has not run; empty: it has run them all."""
        if self.error is None and self._state in {"", "SUCCEEDED"}:
            return ""
        return f"{self._state or 'FAILED'}: {'' if self.error is None else self.error.message}"

    @property
    def files(self) -> tuple[str, ...]:
        """What it has written."""
        file = self.metadata.output.responses_file or self.response.responses_file
        return () if file is None else (file,)

    @property
    def _state(self) -> str:
        # BATCH_STATE_ or, as the SDKs call them, JOB_STATE_.
        return self.metadata.state.partition("STATE_")[2]


class Listed(msgspec.Struct, frozen=True, rename="camel"):
    """A page of batches, the latest first."""

    operations: list[Told] = []
    next_page_token: str = ""


class File(msgspec.Struct, frozen=True):
    """A file there."""

    name: str
    state: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether it has to be waited for."""
        return self.state == "PROCESSING"


class Uploaded(msgspec.Struct, frozen=True):
    """What is said of a file that has come."""

    file: File


class Line(msgspec.Struct, frozen=True):
    """A line of its results."""

    key: str
    response: msgspec.Raw = msgspec.Raw(NOTHING)
    error: Problem | None = None
    status: Problem | None = None

    @property
    def number(self) -> int | None:
        """Of the line that it is about; ``None``: it is none of ours."""
        is_number = self.key.isascii() and self.key.isdigit() and len(self.key) <= MAX_DIGITS
        return int(self.key) if is_number else None

    @property
    def problem(self) -> Problem | None:
        """Why there is no answer, if there is none."""
        if self.error is None and self.status is None and bytes(self.response) == NOTHING:
            return Problem(2, "The provider gave no answer")
        return self.error or self.status


def upload(mark: str, size: int) -> tuple[dict[str, Any], bytes]:
    """The body and the header lines that announce an input file of so many bytes."""
    lines = (
        b"x-goog-upload-protocol: resumable\r\n"
        b"x-goog-upload-command: start\r\n"
        b"x-goog-upload-header-content-length: %d\r\n"
        b"x-goog-upload-header-content-type: %b\r\n"
    ) % (size, FILE_TYPE.encode())
    return {"file": {"displayName": mark, "mimeType": FILE_TYPE}}, lines


LAST_PIECE: Final = b"x-goog-upload-offset: 0\r\nx-goog-upload-command: upload, finalize\r\n"
"""Header lines of the whole file."""


def asked(number: int, body: dict[str, Any]) -> bytes:
    """A line of the input file."""
    return _encode({"key": str(number), "request": body}) + b"\n"


def wanted(mark: str, file: str) -> dict[str, Any]:
    """The body that begins a batch of a file."""
    return {"batch": {"displayName": mark, "inputConfig": {"fileName": file}}}


def read(line: bytes) -> Line | None:
    """A line of its results; ``None``: it is none."""
    try:
        return msgspec.json.decode(line, type=Line)
    except (msgspec.MsgspecError, RecursionError):
        return None


def complaint(problem: Problem) -> bytes:
    """An error as it is told where there is no batch."""
    return _encode({"error": {"code": problem.status, "message": problem.message}})
