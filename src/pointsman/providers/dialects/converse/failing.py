"""What the exceptions mean that end a stream.

Those before it come as a status, and are for :mod:`pointsman.providers.failures`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pointsman.errors import GatewayError
from pointsman.providers.dialects.converse.wire import UNREADABLE
from pointsman.providers.failures import classify

_STATUSES: Final = {
    "validationexception": 400,
    "accessdeniedexception": 403,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "throttlingexception": 429,
    "modelnotreadyexception": 429,
    "servicequotaexceededexception": 429,
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
}
_UNKNOWN: Final = 502


class _Exception(msgspec.Struct, rename="camel"):
    original_status_code: int | None = None


_EXCEPTION: Final = msgspec.json.Decoder(_Exception)


def read_exception(name: bytes, payload: bytes) -> GatewayError:
    """The failure that an exception of this name tells."""
    status = _STATUSES.get(name.decode(errors="replace").lower()) or _original_status(payload)
    return classify(status, (), payload, secrets=(), address="", now=0.0)


def _original_status(payload: bytes) -> int:
    """The model's own; 424 only says that there was one."""
    try:
        status = _EXCEPTION.decode(payload).original_status_code
    except UNREADABLE:
        return _UNKNOWN
    return status if status is not None and 400 <= status < 600 and status != 424 else _UNKNOWN
