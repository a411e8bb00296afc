"""Path → handler, as one readable table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping, Sequence
from enum import Enum, auto

import msgspec

from pointsman.edge.context import Handler, Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.routes import config, gemini, health, metrics, models, router, serving
from pointsman.errors import MethodNotAllowed, RouteNotFound
from pointsman.wire import operations as op


class Access(Enum):
    """Who may call a route."""

    PUBLIC = auto()
    CALLER = auto()
    METRICS = auto()
    """A caller, or anybody where the operator has said so."""


class Route(msgspec.Struct, frozen=True):
    """One line of the table."""

    method: str
    path: str
    """With ``{name}`` for one segment and ``{name...}`` for the rest."""
    handler: Handler
    access: Access = Access.CALLER
    dialect: str | None = "openai"
    """In which its errors are told; ``None``: that of the SDK that asks, which its headers give away."""


def dialect_of(headers: Mapping[bytes, bytes]) -> str:
    """Whose SDK has sent these ``headers``, at a path that several of them have."""
    if b"anthropic-version" in headers:
        return "anthropic"
    return "gemini" if b"x-goog-api-key" in headers or b"x-goog-api-client" in headers else "openai"


def _told_apart(others: Handler, google: Handler) -> Handler:
    """Google's SDK has paths in common with others, and another shape of what is there."""

    def handler(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> Awaitable[None]:
        return (google if exchange.dialect == "gemini" else others)(serving, exchange, params)

    return handler


AZURE = "/openai/deployments/{model...}"
ENGINE = "/engines/{model...}"
ROUTES: tuple[Route, ...] = (
    *(
        Route("POST", prefix + operation.path, serving.serve(operation))
        for operation in op.OPERATIONS
        for prefix in ("/v1", "", AZURE)
    ),
    *(Route("POST", ENGINE + o.path, serving.serve(o)) for o in (op.CHAT, op.COMPLETION, op.EMBEDDINGS)),
    Route("POST", "/v2/rerank", serving.serve(op.RERANK)),
    Route("POST", "/openai/v1/responses", serving.serve(op.RESPONSES)),
    *(
        Route("POST", prefix + operation.path, serving.serve(operation), dialect="anthropic")
        for operation in (op.MESSAGES, op.COUNT_TOKENS)
        for prefix in ("/v1", "", "/anthropic/v1")
    ),
    *(
        Route("POST", f"{prefix}/models/{{model...}}:{method}", serving.serve(operation), dialect="gemini")
        for prefix in ("/v1beta", "/v1", "", "/gemini/v1beta")
        for method, operation in (
            ("generateContent", op.GENERATE_CONTENT),
            ("streamGenerateContent", op.GENERATE_CONTENT),
            ("countTokens", op.GEMINI_COUNT_TOKENS),
        )
    ),
    Route("GET", "/v1beta/models", gemini.list_models, dialect="gemini"),
    Route("GET", "/v1beta/models/{model...}", gemini.show_model, dialect="gemini"),
    Route("GET", "/v1/models", _told_apart(models.list_models, gemini.list_models), dialect=None),
    Route("GET", "/models", models.list_models),
    Route("GET", "/v1/models/{model...}", _told_apart(models.show_model, gemini.show_model), dialect=None),
    Route("GET", "/models/{model...}", models.show_model),
    Route("GET", "/v1/model/info", models.model_info),
    Route("GET", "/model/info", models.model_info),
    Route("GET", "/health/liveliness", health.liveness, Access.PUBLIC),
    Route("GET", "/health/liveness", health.liveness, Access.PUBLIC),
    Route("GET", "/health/readiness", health.readiness, Access.PUBLIC),
    Route("GET", "/health", health.health),
    Route("GET", "/router/info", router.info),
    Route("POST", "/router/reload", config.reload_routers),
    Route("POST", "/config/reload", config.reload_config),
    Route("POST", "/config/rollback", config.rollback),
    Route("GET", "/config/sync/status", config.sync_status),
    Route("POST", "/router/explain", router.explain),
    Route("POST", "/router/feedback", router.feedback),
    Route("GET", "/metrics", metrics.metrics, Access.METRICS),
)

_PARAM = re.compile(r"\{(\w+)(\.\.\.)?\}")


class Routes:
    """Finds routes: exact paths by one look-up, the few with parameters by pattern."""

    def __init__(self, routes: Sequence[Route] = ROUTES) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        by_pattern: dict[str, dict[str, Route]] = {}
        for route in routes:
            table = by_pattern if "{" in route.path else self._exact
            table.setdefault(route.path, {})[route.method] = route
        self._patterns = [(_compile(path), methods) for path, methods in by_pattern.items()]

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route for a request. A HEAD is answered where a GET is.

        :raises RouteNotFound: nobody answers that path
        :raises MethodNotAllowed: somebody does, but not that method
        """
        methods = self._exact.get(path)
        params: Mapping[str, str] = {}
        if methods is None:
            methods, params = self._match(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join(sorted(methods) + (["HEAD"] if "GET" in methods else []))
            raise MethodNotAllowed(f"{path[:200]} takes {allowed}, not {method}", headers=(("allow", allowed),))
        return route, params

    def _match(self, path: str) -> tuple[dict[str, Route], Mapping[str, str]]:
        for pattern, methods in self._patterns:
            found = pattern.fullmatch(path)
            if found is not None:
                return methods, found.groupdict()
        raise RouteNotFound(f"There is no path {path[:200]} here; docs/reference lists the endpoints")


def _compile(path: str) -> re.Pattern[str]:
    parts = []
    end = 0
    for param in _PARAM.finditer(path):
        parts.append(re.escape(path[end : param.start()]))
        parts.append(f"(?P<{param[1]}>{'.+' if param[2] else '[^/]+'})")
        end = param.end()
    return re.compile("".join(parts) + re.escape(path[end:]))
