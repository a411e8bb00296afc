"""Every failure that a caller can be shown.

::

    GatewayError
    ├── CallerError                 the request is at fault; the same request will fail again
    │   ├── Unauthenticated         401
    │   ├── Forbidden               403
    │   ├── InvalidRequest          400
    │   │   └── Inexpressible       400, by the model in hand; another one may take it
    │   ├── ModelNotFound           404
    │   ├── RouteNotFound           404
    │   ├── ResourceNotFound        404, in the shape ``{"detail": ...}``
    │   │   └── Unseen              404, the same for a server or agent that is not there and for one that is hidden
    │   ├── ObjectNotFound          404, the same for a file or a batch that is not there and somebody else's
    │   ├── MethodNotAllowed        405
    │   ├── BodyTimeout             408
    │   ├── AlreadyThere            409
    │   ├── AnswerNotKept           409
    │   ├── BodyTooLarge            413
    │   ├── UnsupportedMediaType    415
    │   ├── MisdirectedHost         421
    │   ├── IdempotencyKeyReused    422
    │   ├── HeadTooLarge            431
    │   ├── RateLimited             429
    │   └── BudgetExceeded          429, more money is needed and not more time
    ├── ServiceError                the gateway is at fault or unavailable
    │   ├── InternalError           500
    │   ├── Overloaded              503
    │   └── StorageFull             507
    └── UpstreamError               whom we called is at fault
        ├── UpstreamUnreachable     502, no byte of the request can have been acted on
        ├── UpstreamBroken          502, it answered with something that is not an answer
        ├── SessionLost             502, it does not know the session any more; in a new one it would answer
        ├── SignInNeeded            502, the caller has to sign in to the server, at a link
        ├── UpstreamTimeout         504
        └── UpstreamRejected        the upstream's own status, type, code and param

Each one knows whose fault it is and whether another try can help. ``message`` is for the caller and never holds
an address or a credential; ``operator_detail`` is for the log.
The docstring of a leaf class is its default message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, Literal

Source = Literal["caller", "gateway", "upstream"]


class GatewayError(Exception):
    """Internal server error"""

    status: int = 500
    kind: str = "internal_error"
    code: str | None = "internal_error"
    source: ClassVar[Source] = "gateway"
    is_retryable: bool = False

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        param: str | None = None,
        operator_detail: str | None = None,
        retry_after: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.message = message or type(self).__doc__ or "Internal server error"
        super().__init__(self.message)
        if code is not None:
            self.code = code
        self.param = param
        self.operator_detail = operator_detail
        self.retry_after = retry_after
        """Seconds after which the caller may try again; sent as ``Retry-After``."""
        self.headers = headers
        """More reply headers, such as ``Allow`` on a 405."""


class CallerError(GatewayError):
    """The request cannot be served as it stands"""

    status = 400
    kind = "invalid_request_error"
    code: str | None = None
    source = "caller"


class Unauthenticated(CallerError):
    """Invalid API key"""

    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"


class Forbidden(CallerError):
    """This key may not do that"""

    status = 403
    kind = "permission_error"
    code = "permission_denied"


class InvalidRequest(CallerError):
    """The request body is not valid"""


class Inexpressible(InvalidRequest):
    """The model cannot take a parameter of this request"""

    code = "unsupported_parameter"


class ModelNotFound(CallerError):
    """The model does not exist or this key has no access to it; GET /v1/models lists what can be used"""

    status = 404
    code = "model_not_found"


class RouteNotFound(CallerError):
    """There is no such path here; docs/reference lists the endpoints"""

    status = 404
    code = "unknown_url"


class ResourceNotFound(CallerError):
    """Not found"""

    status = 404
    code = "not_found"


class Unseen(ResourceNotFound):
    """There is no server or agent of that name"""


class ObjectNotFound(CallerError):
    """There is no such object"""

    status = 404
    code = "not_found"


class MethodNotAllowed(CallerError):
    """This path does not take that method"""

    status = 405
    code = "method_not_allowed"


class BodyTimeout(CallerError):
    """The request body did not arrive in time"""

    status = 408
    code = "request_timeout"
    is_retryable = True


class AlreadyThere(CallerError):
    """That id is taken: choose another one"""

    status = 409
    code = "already_exists"


class AnswerNotKept(CallerError):
    """This Idempotency-Key was used already, and the answer is too long to be given again; a new key asks again"""

    status = 409
    code = "answer_not_kept"


class BodyTooLarge(CallerError):
    """The request body is larger than this gateway accepts"""

    status = 413
    code = "request_too_large"


class UnsupportedMediaType(CallerError):
    """The Content-Type is not one that this path takes"""

    status = 415
    code = "unsupported_media_type"


class MisdirectedHost(CallerError):
    """Without a master key the gateway answers loopback names only; set general_settings.master_key"""

    status = 421
    code = "misdirected_request"


class IdempotencyKeyReused(CallerError):
    """This Idempotency-Key was used with another request; a new request needs a new key"""

    status = 422
    code = "idempotency_key_reused"


class HeadTooLarge(CallerError):
    """The request head is larger than this gateway accepts"""

    status = 431
    code = "request_header_fields_too_large"


class RateLimited(CallerError):
    """Rate limit exceeded"""

    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"
    is_retryable = True


class BudgetExceeded(CallerError):
    """The budget is exceeded"""

    status = 429
    kind = "budget_exceeded"
    code = "budget_exceeded"


class ServiceError(GatewayError):
    """The gateway cannot serve this request now"""


class InternalError(ServiceError):
    """Internal server error"""


class Overloaded(ServiceError):
    """The gateway is overloaded or shutting down; try again"""

    status = 503
    kind = "service_unavailable_error"
    code = "overloaded"
    is_retryable = True


class StorageFull(ServiceError):
    """There is no room for this file; delete others, or tell the operator"""

    status = 507
    code = "storage_full"


class UpstreamError(GatewayError):
    """The provider failed"""

    status = 502
    kind = "upstream_error"
    code: str | None = "upstream_error"
    source = "upstream"
    is_retryable = True


class UpstreamUnreachable(UpstreamError):
    """The provider could not be reached"""

    code = "upstream_unreachable"


class UpstreamBroken(UpstreamError):
    """The provider's answer was cut off or is not valid"""

    code = "upstream_broken"


class SessionLost(UpstreamError):
    """The server's session has ended"""

    code = "session_lost"


class SignInNeeded(UpstreamError):
    """Sign in to the server first"""

    kind = "authentication_error"
    code = "sign_in_needed"
    is_retryable = False

    def __init__(
        self, message: str | None = None, *, link: str = "", arrived: Callable[[float], Awaitable[bool]] | None = None
    ) -> None:
        super().__init__(message)
        self.link = link
        """Where the caller can do that: a path of this gateway, or an address."""
        self.arrived = arrived
        """Waits so many seconds for it, and tells whether it was done."""

    def at(self, base: str) -> SignInNeeded:
        """The same for whoever has found the gateway at ``base``; the link is a path until then."""
        link = base + self.link
        return SignInNeeded(self.message.replace(self.link, link), link=link, arrived=self.arrived)


CONNECT_TIMEOUT = "upstream_connect_timeout"
"""Code of the timeouts before which nothing was sent, so that nothing can have been acted on."""


class UpstreamTimeout(UpstreamError):
    """The provider did not answer in time"""

    status = 504
    kind = "timeout_error"
    code = "upstream_timeout"


class UpstreamRejected(UpstreamError):
    """The provider refused the request"""

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int,
        kind: str,
        code: str | None = None,
        param: str | None = None,
        is_retryable: bool = False,
        operator_detail: str | None = None,
        retry_after: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(
            message,
            param=param,
            operator_detail=operator_detail,
            retry_after=retry_after,
            headers=headers,
        )
        self.status = status
        self.kind = kind
        self.code = code
        self.is_retryable = is_retryable
