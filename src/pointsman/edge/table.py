"""Path → handler, as one readable table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping, Sequence
from importlib import import_module

import msgspec

from pointsman.access.caller import Role
from pointsman.access.policy import POLICY, Access, groups_of
from pointsman.edge.context import Handler, Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.routes import config, gemini, health, metrics, models, router, serving
from pointsman.errors import MethodNotAllowed, RouteNotFound
from pointsman.wire import operations as op


class Route(msgspec.Struct):
    """One line of the table. What it is by who may call it has to be said."""

    method: str
    path: str
    """With ``{name}`` for one segment and ``{name...}`` for the rest."""
    handler: Handler
    access: Access
    dialect: str | None = "openai"
    """In which its errors are told; ``None``: that of the SDK that asks, which its headers give away."""
    roles: frozenset[Role] = frozenset()
    """Who may call it, as the policy has it."""
    groups: frozenset[str] = frozenset()
    """Under which names it stands in ``allowed_routes`` of a key."""
    is_for_agents: bool = False
    """Whether it is about one agent, so that no key is needed where that is public."""

    def __post_init__(self) -> None:
        self.is_for_agents = self.access in {Access.A2A, Access.CARD}
        self.roles = POLICY[self.access]
        self.groups = groups_of(self.access)


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


def late(module: str, name: str) -> Handler:
    """A handler whose module is imported when it is called first: whoever has no virtual keys never needs it."""

    def handler(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> Awaitable[None]:
        found: Handler = getattr(import_module(f"pointsman.edge.routes.{module}"), name)
        return found(serving, exchange, params)

    handler.__qualname__ = f"{module}.{name}"
    return handler


AZURE = "/openai/deployments/{model...}"
ENGINE = "/engines/{model...}"
CALL, MCP, LIST, OWN, KEYS = Access.MODELS, Access.MCP, Access.LIST, Access.OWN, Access.KEYS
A2A, CARD, PUBLIC = Access.A2A, Access.CARD, Access.PUBLIC
FILES = Access.FILES
TEAM, READ, ADMIN, MASTER = Access.TEAM, Access.READ, Access.ADMIN, Access.MASTER
ROUTES: tuple[Route, ...] = (
    *(
        Route("POST", prefix + operation.path, serving.serve(operation), CALL)
        for operation in op.OPERATIONS
        for prefix in ("/v1", "", AZURE)
    ),
    *(Route("POST", ENGINE + o.path, serving.serve(o), CALL) for o in (op.CHAT, op.COMPLETION, op.EMBEDDINGS)),
    Route("POST", "/v2/rerank", serving.serve(op.RERANK), CALL),
    Route("POST", "/openai/v1/responses", serving.serve(op.RESPONSES), CALL),
    *(
        Route("POST", prefix + operation.path, serving.serve(operation), CALL, "anthropic")
        for operation in (op.MESSAGES, op.COUNT_TOKENS)
        for prefix in ("/v1", "", "/anthropic/v1")
    ),
    *(
        Route("POST", f"{prefix}/models/{{model...}}:{method}", serving.serve(operation), CALL, "gemini")
        for prefix in ("/v1beta", "/v1", "", "/gemini/v1beta")
        for method, operation in (
            ("generateContent", op.GENERATE_CONTENT),
            ("streamGenerateContent", op.GENERATE_CONTENT),
            ("countTokens", op.GEMINI_COUNT_TOKENS),
        )
    ),
    Route("GET", "/v1beta/models", gemini.list_models, LIST, "gemini"),
    Route("GET", "/v1beta/models/{model...}", gemini.show_model, LIST, "gemini"),
    Route("GET", "/v1/models", _told_apart(models.list_models, gemini.list_models), LIST, None),
    Route("GET", "/models", models.list_models, LIST),
    Route("GET", "/v1/models/{model...}", _told_apart(models.show_model, gemini.show_model), LIST, None),
    Route("GET", "/models/{model...}", models.show_model, LIST),
    Route("GET", "/v1/model/info", models.model_info, LIST),
    Route("GET", "/model/info", models.model_info, LIST),
    *(
        Route(method, prefix + path, late("files", name), FILES)
        for prefix in ("/v1", "", "/openai", "/openai/v1")
        for method, path, name in (
            ("POST", "/files", "create"),
            ("GET", "/files", "list_files"),
            ("GET", "/files/{file_id}", "show"),
            ("DELETE", "/files/{file_id}", "delete"),
            ("GET", "/files/{file_id}/content", "content"),
        )
    ),
    *(
        Route(method, prefix + path, late("batches", name), access)
        for prefix in ("/v1", "", "/openai", "/openai/v1")
        for method, path, name, access in (
            ("POST", "/batches", "create", FILES),
            ("GET", "/batches", "list_batches", FILES),
            ("GET", "/batches/{batch_id}", "show", FILES),
            ("POST", "/batches/{batch_id}/cancel", "cancel", FILES),
            ("POST", "/batches/{batch_id}/pause", "pause", ADMIN),
            ("POST", "/batches/{batch_id}/resume", "resume", ADMIN),
        )
    ),
    *(
        Route(method, f"{prefix}/messages/batches{path}", late("message_batches", name), FILES, "anthropic")
        for prefix in ("/v1", "", "/anthropic/v1")
        for method, path, name in (
            ("POST", "", "create"),
            ("GET", "", "list_batches"),
            ("GET", "/{batch_id}", "show"),
            ("DELETE", "/{batch_id}", "delete"),
            ("POST", "/{batch_id}/cancel", "cancel"),
            ("GET", "/{batch_id}/results", "results"),
        )
    ),
    Route("GET", "/health/liveliness", health.liveness, Access.PUBLIC),
    Route("GET", "/health/liveness", health.liveness, Access.PUBLIC),
    Route("GET", "/health/readiness", health.readiness, Access.PUBLIC),
    Route("GET", "/health", health.health, READ),
    Route("GET", "/router/info", router.info, MASTER),
    Route("POST", "/router/reload", config.reload_routers, MASTER),
    Route("POST", "/config/reload", config.reload_config, MASTER),
    Route("POST", "/config/rollback", config.rollback, MASTER),
    Route("GET", "/config/sync/status", config.sync_status, MASTER),
    Route("POST", "/router/explain", router.explain, CALL),
    Route("POST", "/router/feedback", router.feedback, CALL),
    Route("GET", "/metrics", metrics.metrics, Access.METRICS),
    Route("POST", "/key/generate", late("keys", "generate"), KEYS),
    Route("GET", "/key/info", late("keys", "info"), OWN),
    Route("POST", "/key/update", late("keys", "update"), KEYS),
    Route("POST", "/key/delete", late("keys", "delete"), KEYS),
    Route("POST", "/key/block", late("keys", "block"), KEYS),
    Route("POST", "/key/unblock", late("keys", "unblock"), KEYS),
    Route("POST", "/key/regenerate", late("keys", "regenerate"), KEYS),
    Route("POST", "/key/{key}/regenerate", late("keys", "regenerate"), KEYS),
    Route("POST", "/key/{key}/reset_spend", late("keys", "reset_spend"), ADMIN),
    Route("GET", "/key/{key}/spend", late("keys", "spend"), OWN),
    Route("GET", "/key/list", late("keys", "list_keys"), OWN),
    Route("GET", "/key/aliases", late("keys", "aliases"), OWN),
    Route("POST", "/key/health", late("keys", "health"), OWN),
    Route("POST", "/team/new", late("teams", "create"), ADMIN),
    Route("POST", "/team/update", late("teams", "update"), ADMIN),
    Route("POST", "/team/delete", late("teams", "delete"), ADMIN),
    Route("POST", "/team/block", late("teams", "block"), ADMIN),
    Route("POST", "/team/unblock", late("teams", "unblock"), ADMIN),
    Route("GET", "/team/info", late("teams", "info"), OWN),
    Route("GET", "/team/list", late("teams", "list_teams"), OWN),
    Route("POST", "/team/member_add", late("teams", "add_member"), TEAM),
    Route("POST", "/team/member_delete", late("teams", "remove_member"), TEAM),
    Route("POST", "/user/new", late("users", "create"), ADMIN),
    Route("POST", "/user/update", late("users", "update"), ADMIN),
    Route("POST", "/user/delete", late("users", "delete"), ADMIN),
    Route("GET", "/user/info", late("users", "info"), OWN),
    Route("GET", "/user/list", late("users", "list_users"), READ),
    Route("POST", "/organization/new", late("teams", "create_organization"), ADMIN),
    Route("PATCH", "/organization/update", late("teams", "update_organization"), ADMIN),
    Route("DELETE", "/organization/delete", late("teams", "delete_organizations"), ADMIN),
    Route("GET", "/organization/info", late("teams", "show_organization"), READ),
    Route("GET", "/organization/list", late("teams", "list_organizations"), READ),
    Route("POST", "/budget/new", late("budgets", "create"), ADMIN),
    Route("POST", "/budget/update", late("budgets", "update"), ADMIN),
    Route("POST", "/budget/info", late("budgets", "info"), READ),
    Route("GET", "/budget/list", late("budgets", "list_budgets"), READ),
    Route("POST", "/budget/delete", late("budgets", "delete"), ADMIN),
    Route("POST", "/budget/reconcile", late("budgets", "set_counters"), ADMIN),
    Route("GET", "/spend/logs", late("spend", "logs"), OWN),
    Route("GET", "/spend/keys", late("spend", "by_key"), READ),
    Route("GET", "/spend/users", late("spend", "by_user"), READ),
    Route("GET", "/global/spend", late("spend", "total"), READ),
    Route("GET", "/global/spend/report", late("spend", "report"), OWN),
    Route("GET", "/audit", late("audit", "list_changes"), READ),
    Route("GET", "/audit/verify", late("audit", "verify"), READ),
    # Before the paths of the protocol, which have the ids of servers in the same place.
    Route("GET", "/mcp/servers", late("mcp_servers", "list_servers"), LIST),
    Route("POST", "/mcp/servers", late("mcp_servers", "register"), ADMIN),
    Route("GET", "/mcp/servers/{server_id}", late("mcp_servers", "show"), LIST),
    Route("PUT", "/mcp/servers/{server_id}", late("mcp_servers", "replace"), ADMIN),
    Route("PATCH", "/mcp/servers/{server_id}", late("mcp_servers", "update"), ADMIN),
    Route("DELETE", "/mcp/servers/{server_id}", late("mcp_servers", "unregister"), ADMIN),
    Route("GET", "/mcp/servers/{server_id}/pins", late("mcp_servers", "show_pins"), READ),
    Route("POST", "/mcp/servers/{server_id}/pins/approve", late("mcp_servers", "approve_pins"), ADMIN),
    Route("GET", "/mcp/tools", late("mcp_catalog", "tools"), LIST),
    Route("POST", "/mcp/tools/call", late("mcp_catalog", "call"), MCP),
    Route("GET", "/mcp/resources", late("mcp_catalog", "resources"), LIST),
    Route("GET", "/mcp/prompts", late("mcp_catalog", "prompts"), LIST),
    Route("GET", "/mcp/health", late("mcp_catalog", "health"), LIST),
    Route("GET", "/mcp/oauth/start", late("mcp_oauth", "start"), Access.PUBLIC),
    Route("POST", "/mcp/oauth/start", late("mcp_oauth", "start_with_key"), Access.PUBLIC),
    Route("GET", "/mcp/oauth/callback", late("mcp_oauth", "callback"), Access.PUBLIC),
    Route("GET", "/mcp/oauth/client-metadata.json", late("mcp_oauth", "client_metadata"), Access.PUBLIC),
    Route("DELETE", "/mcp/oauth/tokens/{server_id}", late("mcp_oauth", "sign_out"), MCP),
    *(
        Route("GET", "/.well-known/oauth-protected-resource" + path, late("mcp_oauth", "metadata"), Access.PUBLIC)
        for path in ("", "/mcp", "/mcp/", "/mcp/{server}")
    ),
    *(
        Route(method, path, late("mcp", method.lower()), MCP, "mcp")
        for path in ("/mcp", "/mcp/", "/mcp/{server}", "/mcp/{server}/", "/{server}/mcp")
        for method in ("POST", "GET", "DELETE")
    ),
    *(
        Route(method, f"/mcp{server}/{path}", late("mcp", name), MCP, "mcp")
        for server in ("", "/{server}")
        for method, path, name in (("GET", "sse", "get_sse"), ("POST", "messages", "post_sse"))
    ),
    Route("GET", "/a2a/agents", late("a2a_agents", "list_agents"), LIST),
    Route("POST", "/a2a/agents", late("a2a_agents", "register"), ADMIN),
    Route("POST", "/a2a/agents:discover", late("a2a_agents", "discover"), ADMIN),
    Route("GET", "/a2a/agents/{agent_id}", late("a2a_agents", "show"), LIST),
    Route("PUT", "/a2a/agents/{agent_id}", late("a2a_agents", "replace"), ADMIN),
    Route("PATCH", "/a2a/agents/{agent_id}", late("a2a_agents", "update"), ADMIN),
    Route("DELETE", "/a2a/agents/{agent_id}", late("a2a_agents", "unregister"), ADMIN),
    Route("GET", "/v1/agents", late("a2a_agents", "list_as_litellm"), LIST),
    Route("POST", "/v1/agents", late("a2a_agents", "register_as_litellm"), ADMIN),
    Route("GET", "/v1/agents/{agent_id}", late("a2a_agents", "show_as_litellm"), LIST),
    Route("PUT", "/v1/agents/{agent_id}", late("a2a_agents", "replace_as_litellm"), ADMIN),
    Route("PATCH", "/v1/agents/{agent_id}", late("a2a_agents", "update_as_litellm"), ADMIN),
    Route("DELETE", "/v1/agents/{agent_id}", late("a2a_agents", "unregister_as_litellm"), ADMIN),
    Route("GET", "/a2a/push", late("a2a_push", "dead_letters"), ADMIN),
    Route("GET", "/a2a/tasks", late("a2a_tasks", "list_tasks"), LIST),
    Route("POST", "/a2a/push/{token}", late("a2a_push", "receive"), PUBLIC),
    Route("GET", "/a2a/agents/{agent_id}/card", late("a2a_cards", "card"), CARD),
    *(
        Route("GET", f"/a2a/{agents}{{agent_id}}/.well-known/{name}.json", late("a2a_cards", "well_known"), CARD)
        for agents in ("agents/", "")
        for name in ("agent-card", "agent")
    ),
    *(Route("GET", f"/.well-known/{name}.json", late("a2a_cards", "root"), PUBLIC) for name in ("agent-card", "agent")),
    Route("GET", "/.well-known/jwks.json", late("a2a_cards", "jwks"), PUBLIC),
    Route("GET", "/.well-known/api-catalog", late("a2a_cards", "catalog"), PUBLIC),
    *(
        Route("POST", path, late("a2a", "post"), A2A, "a2a")
        for path in (
            "/a2a/agents/{agent_id}",
            "/a2a/agents/{agent_id}/",
            "/a2a/{agent_id}",
            "/a2a/{agent_id}/",
            "/a2a/{agent_id}/message/send",
            "/a2a/{agent_id}/message/stream",
            "/v1/a2a/{agent_id}/message/send",
        )
    ),
    # After all others that have the id of an agent in the same place.
    *(
        Route(method, path, late("a2a", "rest"), A2A, "a2a_rest")
        for path in ("/a2a/agents/{agent_id}/{path...}", "/a2a/{agent_id}/{path...}")
        for method in ("GET", "POST", "DELETE")
    ),
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
