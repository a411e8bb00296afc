"""A batch in the words of a provider that runs it whole, which are OpenAI's; Azure has the same but for a few.

Lines are told apart by their numbers: what callers call them stays here.

Sources: platform.openai.com/docs/api-reference/batch, .../files; learn.microsoft.com/azure/foundry/openai/how-to/batch,
learn.microsoft.com/rest/api/azureopenai/files.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from pointsman.batches.protocol.lines import LineRequest
from pointsman.errors import InvalidRequest
from pointsman.providers.base import Price
from pointsman.providers.costs import cost_usd
from pointsman.wire.peek import peek, splice_model
from pointsman.wire.usage import Usage, find_usage, splice_answer_model

PROVIDERS: Final = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations"}
)
"""Endpoints that providers have batches of."""
OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
"""How a batch can end there."""
MARK: Final = "pointsman_batch"
"""The member of its metadata that says whose it is."""
DISCOUNT: Final = Decimal("0.5")
"""What it costs of the price."""
OK: Final = 200
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
GONE: Final = "The provider gave no answer"
_encode: Final = msgspec.json.Encoder().encode


class Who(msgspec.Struct, frozen=True):
    """For whom it is paid, as it was when the provider was asked."""

    key_id: str
    team_id: str = ""
    user_id: str = ""
    organization_id: str = ""
    tags: tuple[str, ...] = ()


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a batch is there; kept in its document."""

    deployment: str = ""
    """Its id; empty: nothing was begun."""
    place: str = ""
    """Where it is there, whatever becomes of that deployment."""
    credential: str = ""
    """The digest of what it was begun with."""
    who: Who = Who("")
    file: str = ""
    batch: str = ""
    is_cancelled: bool = False
    """Whether the provider was told to stop."""
    over_since: float = 0.0
    """When it was first seen that no more is to be done of it; 0: that was not so yet."""
    since: float = 0.0
    """From when on the provider could begin: its file is there, or it was paused until then."""


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


class Got(msgspec.Struct, frozen=True):
    """What came of a line there."""

    number: int
    status: int
    body: bytes
    request_id: str
    usage: Usage


def asked(number: int, request: LineRequest, model: str) -> bytes:
    """A line of the provider's input file; ``model`` is what it calls the model.

    :raises InvalidRequest: the gateway itself would have to do something about it
    """
    peeked = peek(request.operation, request.body)
    if peeked.wishes is not None or peeked.names_servers or peeked.has_system:
        raise InvalidRequest("there are lines that say how they are to be served")
    body = msgspec.Raw(splice_model(request.body, peeked.model, model, peeked.model_span))
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


def cost(price: Price, usage: Usage) -> Decimal:
    """US dollars of a line there."""
    return (cost_usd(price, usage) or Decimal(0)) * DISCOUNT
