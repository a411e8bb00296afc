"""What can go wrong, and how each version and binding says it.

Source: the specification of A2A 1.0.1, sections 5.4 (codes), 9.5 (JSON-RPC) and 11.6 (HTTP+JSON, after AIP-193); that
of 0.3.0, section 8. How REST tells a fault in 0.3 is in no document: the statuses and names are those of its SDKs, of
which one reads ``code`` and the other ``type``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pointsman.a2a.protocol.operations import Version
from pointsman.errors import GatewayError
from pointsman.wire import jsonrpc
from pointsman.wire.jsonrpc import MAX_TEXT, RpcError

INFO_TYPE: Final = "type.googleapis.com/google.rpc.ErrorInfo"
DOMAIN: Final = "a2a-protocol.org"
OURS: Final = "pointsman"
"""The domain of failures that the protocol has no word for."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that the protocol has a word for."""

    code: int
    """Of JSON-RPC."""
    reason: str
    """In the details of 1.0."""
    status: int
    """Of HTTP in 1.0."""
    legacy_status: int
    """Of HTTP in 0.3."""
    name: str
    """Of the status, after gRPC."""
    kind: str
    """What 0.3 calls it."""
    text: str


TASK_NOT_FOUND: Final = Fault(-32001, "TASK_NOT_FOUND", 404, 404, "NOT_FOUND", "TaskNotFoundError", "Task not found")
TASK_NOT_CANCELABLE: Final = Fault(
    -32002,
    "TASK_NOT_CANCELABLE",
    400,
    409,
    "FAILED_PRECONDITION",
    "TaskNotCancelableError",
    "Task cannot be canceled",
)
PUSH_NOT_SUPPORTED: Final = Fault(
    -32003,
    "PUSH_NOTIFICATION_NOT_SUPPORTED",
    400,
    501,
    "FAILED_PRECONDITION",
    "PushNotificationNotSupportedError",
    "Push Notification is not supported",
)
UNSUPPORTED_OPERATION: Final = Fault(
    -32004,
    "UNSUPPORTED_OPERATION",
    400,
    501,
    "FAILED_PRECONDITION",
    "UnsupportedOperationError",
    "This operation is not supported",
)
CONTENT_TYPE_NOT_SUPPORTED: Final = Fault(
    -32005,
    "CONTENT_TYPE_NOT_SUPPORTED",
    400,
    415,
    "INVALID_ARGUMENT",
    "ContentTypeNotSupportedError",
    "Incompatible content types",
)
INVALID_AGENT_RESPONSE: Final = Fault(
    -32006,
    "INVALID_AGENT_RESPONSE",
    500,
    502,
    "INTERNAL",
    "InvalidAgentResponseError",
    "The agent answered with something that is not an answer",
)
NO_EXTENDED_CARD: Final = Fault(
    -32007,
    "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
    400,
    404,
    "FAILED_PRECONDITION",
    "AuthenticatedExtendedCardNotConfiguredError",
    "Authenticated Extended Card is not configured",
)
EXTENSION_REQUIRED: Final = Fault(
    -32008,
    "EXTENSION_SUPPORT_REQUIRED",
    400,
    400,
    "FAILED_PRECONDITION",
    "ExtensionSupportRequiredError",
    "Extension support required",
)
VERSION_NOT_SUPPORTED: Final = Fault(
    -32009,
    "VERSION_NOT_SUPPORTED",
    400,
    400,
    "FAILED_PRECONDITION",
    "VersionNotSupportedError",
    "Version not supported",
)
PARSE_ERROR: Final = Fault(
    jsonrpc.PARSE_ERROR, "INVALID_REQUEST", 400, 400, "INVALID_ARGUMENT", "JSONParseError", "Invalid JSON payload"
)
INVALID_REQUEST: Final = Fault(
    jsonrpc.INVALID_REQUEST, "INVALID_REQUEST", 400, 400, "INVALID_ARGUMENT", "InvalidRequestError", "Invalid request"
)
METHOD_NOT_FOUND: Final = Fault(
    jsonrpc.METHOD_NOT_FOUND, "METHOD_NOT_FOUND", 404, 404, "NOT_FOUND", "MethodNotFoundError", "Method not found"
)
INVALID_PARAMS: Final = Fault(
    jsonrpc.INVALID_PARAMS, "INVALID_PARAMS", 400, 422, "INVALID_ARGUMENT", "InvalidParamsError", "Invalid parameters"
)
INTERNAL_ERROR: Final = Fault(
    jsonrpc.INTERNAL_ERROR, "INTERNAL_ERROR", 500, 500, "INTERNAL", "InternalError", "Internal error"
)
FAULTS: Final = (
    TASK_NOT_FOUND,
    TASK_NOT_CANCELABLE,
    PUSH_NOT_SUPPORTED,
    UNSUPPORTED_OPERATION,
    CONTENT_TYPE_NOT_SUPPORTED,
    INVALID_AGENT_RESPONSE,
    NO_EXTENDED_CARD,
    EXTENSION_REQUIRED,
    VERSION_NOT_SUPPORTED,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    INVALID_PARAMS,
    INTERNAL_ERROR,
    PARSE_ERROR,
)

_BY_CODE: Final = {fault.code: fault for fault in FAULTS}
_BY_REASON: Final = {fault.reason: fault for fault in reversed(FAULTS)}
_BY_KIND: Final = {fault.kind: fault for fault in FAULTS}
_NAMES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Names of statuses by HTTP, for failures that are none of the faults."""
_READ: Final[Mapping[int, tuple[Fault, ...]]] = {
    400: (INVALID_REQUEST,),
    404: (TASK_NOT_FOUND, METHOD_NOT_FOUND, NO_EXTENDED_CARD),
    405: (METHOD_NOT_FOUND,),
    409: (TASK_NOT_CANCELABLE,),
    415: (CONTENT_TYPE_NOT_SUPPORTED,),
    422: (INVALID_PARAMS,),
    501: (UNSUPPORTED_OPERATION, PUSH_NOT_SUPPORTED),
    502: (INVALID_AGENT_RESPONSE,),
}
"""What a status can mean that comes without a name; the first one, unless the text is that of another."""


def refusal(fault: Fault, message: str = "", **metadata: str) -> RpcError:
    """The failure to raise; ``metadata`` goes into its details and holds nothing that a client may not see."""
    return RpcError(fault.code, message or fault.text, [_info(fault.reason, DOMAIN, metadata)])


def fault_of(error: RpcError) -> Fault | None:
    """Which one it is, by its code; ``None``: one that the protocol does not have."""
    return _BY_CODE.get(error.code)


def of_gateway(error: GatewayError) -> RpcError:
    """A failure of the gateway in these terms.

    What the protocol has no word for has the status of HTTP as its code where the caller is refused, and is an internal
    error else; why, is in the details. The status of a JSON-RPC reply is that of HTTP for refusals only.
    """
    is_refusal = error.source == "caller" or error.status == 503
    reason = (error.code or error.kind).upper().replace("-", "_")
    return RpcError(
        error.status if is_refusal else jsonrpc.INTERNAL_ERROR,
        error.message[:MAX_TEXT],
        [_info(reason, OURS, {})],
        status=error.status if is_refusal else 200,
    )


def told(error: RpcError, version: Version) -> msgspec.Raw:
    """The ``error`` member of JSON-RPC.

    In 1.0 its ``data`` is a list that says which fault it is, with what else an agent has told; in 0.3, where clients
    know no such list, only what else there is.
    """
    found: dict[str, Any] = {"code": error.code, "message": error.message[:MAX_TEXT]}
    data = _details(error) if version == "1.0" else _legacy_data(error)
    if data:
        found["data"] = data
    return msgspec.Raw(msgspec.json.encode(found))


def rest(error: RpcError | GatewayError, version: Version) -> tuple[int, bytes]:
    """The status of HTTP, and the body."""
    status = error.status
    if isinstance(error, GatewayError):
        error, fault = of_gateway(error), None
    else:
        fault = fault_of(error)
        if fault is not None and status < 400:
            status = fault.status if version == "1.0" else fault.legacy_status
    if status < 400:
        status = 500
    message = error.message[:MAX_TEXT]
    found: dict[str, Any]
    if version == "1.0":
        name = fault.name if fault is not None else _NAMES.get(status, "UNKNOWN")
        found = {"error": {"code": status, "status": name, "message": message, "details": _details(error)}}
    else:
        found = {"code": error.code, "type": fault.kind if fault is not None else "Error", "message": message}
        if data := _legacy_data(error):
            found["data"] = data
    return status, msgspec.json.encode(found)


def read_rest(status: int, body: bytes) -> RpcError:
    """The failure that an agent tells over REST, in whichever form; whatever is wrong with it, there is one.

    What is no fault of the protocol is an internal error, with the agent's words.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        found = {}
    inner = found.get("error")
    if isinstance(inner, dict):
        found = inner
    message = found.get("message")
    text = message[:MAX_TEXT] if isinstance(message, str) else ""
    details = found.get("details")
    data = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else found.get("data")
    fault = _named(found, data) or _guessed(status, text)
    return RpcError(fault.code, text or fault.text, data or None)


def _named(found: Mapping[str, Any], data: object) -> Fault | None:
    """As it says itself."""
    if isinstance(data, list):
        for one in data:
            if isinstance(one, dict) and (fault := _by(_BY_REASON, one.get("reason"))):
                return fault
    return _by(_BY_KIND, found.get("type")) or _by(_BY_CODE, found.get("code"))


def _by(table: Mapping[Any, Fault], key: object) -> Fault | None:
    return table.get(key) if isinstance(key, str | int) else None


def _guessed(status: int, text: str) -> Fault:
    """By the status alone, which several share; some agents tell nothing else, and the text of the SDK with it."""
    meant = _READ.get(status, (INTERNAL_ERROR,))
    return next((fault for fault in meant if fault.text.casefold() in text.casefold()), meant[0])


def _info(reason: str, domain: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    return {"@type": INFO_TYPE, "reason": reason, "domain": domain, "metadata": metadata}


def _details(error: RpcError) -> list[Any]:
    """What is in ``data`` as the list that 1.0 wants, with the fault in it."""
    data = error.data
    listed = data if isinstance(data, list) else [data]
    found = [one for one in listed if isinstance(one, dict) and isinstance(one.get("@type"), str)]
    fault = fault_of(error)
    if fault is not None and not any(_is_info(one) for one in found):
        found.insert(0, _info(fault.reason, DOMAIN, _texts(data) if isinstance(data, dict) else {}))
    return found


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    """Values of metadata are texts."""
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in data.items()
    }


def _is_info(one: Mapping[str, Any]) -> bool:
    return one.get("@type") == INFO_TYPE


def _legacy_data(error: RpcError) -> object:
    data = error.data
    if isinstance(data, list):
        return [one for one in data if not (isinstance(one, dict) and _is_info(one))]
    return data
