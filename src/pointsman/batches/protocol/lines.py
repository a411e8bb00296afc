"""Lines of an input file: each is a request, ``{"custom_id", "method": "POST", "url", "body"}``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pointsman.errors import InvalidRequest
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.peek import peek
from pointsman.wire.wishes import wishes_of

MAX_ID_CHARS: Final = 512
MAX_MODEL_CHARS: Final = 512
"""Of a model's name, which a batch and its errors repeat."""
MAX_SHOWN: Final = 100
"""Characters of somebody's text that a message repeats."""
_OPERATIONS: Final = (
    op.CHAT,
    op.COMPLETION,
    op.RESPONSES,
    op.EMBEDDINGS,
    op.MODERATION,
    op.RERANK,
    op.IMAGE_GENERATION,
    op.MESSAGES,
)
ENDPOINTS: Final[Mapping[str, Operation]] = {f"/v1{one.path}": one for one in _OPERATIONS}
"""What a batch can be made of."""
_PREFIX: Final = re.compile(r"(?:/openai|/anthropic)?(?:/v1)?(?=/)")
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ID_BYTES: Final = 16


class LineRequest(msgspec.Struct, frozen=True, gc=False):
    """What a line asks for."""

    custom_id: str
    endpoint: str
    """As in :data:`ENDPOINTS`."""
    operation: Operation
    body: bytes
    """JSON, with the very bytes of the line."""
    model: str | None = None
    """Only told by :class:`Lines`, and not of a body that is wrong."""


class _Line(msgspec.Struct):
    custom_id: Raw | UnsetType = UNSET
    method: Raw | UnsetType = UNSET
    url: Raw | UnsetType = UNSET
    body: Raw | UnsetType = UNSET


_DECODER: Final = msgspec.json.Decoder(_Line)
_TEXT: Final = msgspec.json.Decoder(str)


def canonical(endpoint: str) -> str | None:
    """The name in :data:`ENDPOINTS` of an endpoint, which may be written as at any of its paths."""
    rest = "/v1" + _PREFIX.sub("", endpoint, count=1)
    return rest if rest in ENDPOINTS else None


def request_of(data: bytes) -> LineRequest:
    """What a line asks for.

    :raises InvalidRequest: it asks for nothing that a batch can be made of
    """
    line = _decode(data)
    custom_id = _custom_id(line)
    method = _text(line.method, "method")
    if method != "POST":
        raise InvalidRequest(f"'method' must be POST, not {_shown(method)}", code="invalid_method", param="method")
    url = _text(line.url, "url")
    endpoint = canonical(url)
    if endpoint is None:
        raise InvalidRequest(
            f"{_shown(url)} is no endpoint that batches can use: {', '.join(ENDPOINTS)}",
            code="invalid_url",
            param="url",
        )
    if isinstance(line.body, UnsetType):
        raise _missing("body")
    body = bytes(line.body)
    if not body.startswith(b"{"):
        raise InvalidRequest("'body' must be an object: the request", code="invalid_type", param="body")
    return LineRequest(custom_id, endpoint, ENDPOINTS[endpoint], body)


class Lines:
    """Reads the lines of one file, of which no two may have the same id."""

    def __init__(self, endpoint: str, *, is_lenient: bool = False) -> None:
        """``is_lenient``: wrong bodies are told by whoever runs them, each for itself, as Anthropic has it."""
        self._endpoint = endpoint
        self._is_lenient = is_lenient
        # Digests: ids can be long, and there are many.
        self._ids: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, number: int, data: bytes) -> LineRequest:
        """The request of line ``number``, which was looked at as far as can be done without asking a model.

        :raises InvalidRequest: it cannot be run, with a ``code`` and where possible a ``param``
        """
        request = request_of(data)
        self._note(request.custom_id, number)
        if request.endpoint != self._endpoint:
            raise InvalidRequest(
                f"'url' is {request.endpoint}, but the batch was made for {self._endpoint}",
                code="invalid_url",
                param="url",
            )
        try:
            return _looked_at(request)
        except InvalidRequest as error:
            if self._is_lenient:
                return request
            param = "body" if error.param is None else f"body.{error.param}"
            raise InvalidRequest(error.message, code=error.code or "invalid_request", param=param) from None

    def _note(self, custom_id: str, number: int) -> None:
        digest = hashlib.blake2b(custom_id.encode(), digest_size=_ID_BYTES).digest()
        first = self._ids.setdefault(digest, number)
        if first != number:
            raise InvalidRequest(
                f"Line {first} has the 'custom_id' {_shown(custom_id)} already: each must be the only one",
                code="duplicate_custom_id",
                param="custom_id",
            )


def _looked_at(request: LineRequest) -> LineRequest:
    peeked = peek(request.operation, request.body)
    if peeked.stream:
        raise InvalidRequest("A line of a batch cannot be streamed: leave 'stream' out", param="stream")
    model = peeked.model
    if peeked.wishes is not None:
        wishes = wishes_of(peeked.wishes, {}, model)
        if wishes is not None and model is None and wishes.models:
            model = wishes.models[0]
    if model is not None and len(model) > MAX_MODEL_CHARS:
        raise InvalidRequest(f"The name of a model has up to {MAX_MODEL_CHARS} characters", param="model")
    return msgspec.structs.replace(request, model=model)


def _decode(data: bytes) -> _Line:
    if data.startswith(_BOMS):
        raise InvalidRequest(
            "The line begins with a byte order mark: save the file as UTF-8 without one", code="invalid_json_line"
        )
    try:
        data.decode()
        return _DECODER.decode(data)
    except UnicodeDecodeError as error:
        raise _broken(f"it is not UTF-8 at byte {error.start}") from None
    except msgspec.ValidationError:
        raise InvalidRequest("The line must be a JSON object", code="invalid_json_line") from None
    except msgspec.DecodeError as error:
        raise _broken(str(error).removeprefix("JSON is malformed: ").lower()) from None
    except RecursionError:
        raise _broken("it is nested too deeply") from None


def _broken(why: str) -> InvalidRequest:
    return InvalidRequest(f"The line is not valid JSON: {why}", code="invalid_json_line")


def _missing(name: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{name}'", code="missing_required_parameter", param=name)


def _text(raw: Raw | UnsetType, name: str) -> str:
    if isinstance(raw, UnsetType):
        raise _missing(name)
    try:
        return _TEXT.decode(raw)
    except msgspec.DecodeError:
        raise InvalidRequest(f"{name!r} must be a string", code="invalid_type", param=name) from None


def _custom_id(line: _Line) -> str:
    custom_id = _text(line.custom_id, "custom_id")
    if not 0 < len(custom_id) <= MAX_ID_CHARS or "\0" in custom_id:
        raise InvalidRequest(
            f"'custom_id' must have 1 to {MAX_ID_CHARS} characters, none of them NUL",
            code="invalid_custom_id",
            param="custom_id",
        )
    return custom_id


def _shown(text: str) -> str:
    return repr(text[:MAX_SHOWN])[: MAX_SHOWN + 2]
