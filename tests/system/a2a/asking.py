"""A client that writes the protocol itself: every operation, in each version, over each binding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import uuid4

from system.process import Gateway, Reply

Version = Literal["1.0", "0.3"]
Binding = Literal["jsonrpc", "rest"]
Named = Mapping[str, str]
"""The ids that an operation is about: ``task``, ``context``, ``config``, ``hook``, ``what`` is wanted."""
SECONDS = 20.0
STREAMED = {"stream", "subscribe"}
METHODS: dict[str, tuple[str, str]] = {
    "send": ("SendMessage", "message/send"),
    "stream": ("SendStreamingMessage", "message/stream"),
    "get": ("GetTask", "tasks/get"),
    "list": ("ListTasks", "tasks/list"),
    "cancel": ("CancelTask", "tasks/cancel"),
    "subscribe": ("SubscribeToTask", "tasks/resubscribe"),
    "set_push": ("CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set"),
    "get_push": ("GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get"),
    "list_push": ("ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list"),
    "delete_push": ("DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete"),
    "extended_card": ("GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard"),
}
"""How each version calls them."""
PUSHES = "pushNotificationConfigs"
PATHS: dict[str, tuple[str, str]] = {
    "send": ("POST", "/message:send"),
    "stream": ("POST", "/message:stream"),
    "get": ("GET", "/tasks/{task}"),
    "list": ("GET", "/tasks"),
    "cancel": ("POST", "/tasks/{task}:cancel"),
    "subscribe": ("POST", "/tasks/{task}:subscribe"),
    "set_push": ("POST", f"/tasks/{{task}}/{PUSHES}"),
    "get_push": ("GET", f"/tasks/{{task}}/{PUSHES}/{{config}}"),
    "list_push": ("GET", f"/tasks/{{task}}/{PUSHES}"),
    "delete_push": ("DELETE", f"/tasks/{{task}}/{PUSHES}/{{config}}"),
    "extended_card": ("GET", "/extendedAgentCard"),
}


def message(version: Version, named: Named) -> dict[str, Any]:
    """A message whose id says what is wanted."""
    found: dict[str, Any] = {"messageId": f"{named.get('what', 'tck-complete-task')}-{uuid4()}"}
    for member, name in (("taskId", "task"), ("contextId", "context")):
        if name in named:
            found[member] = named[name]
    if "reference" in named:
        found["referenceTaskIds"] = [named["reference"]]
    if version == "1.0":
        return found | {"role": "ROLE_USER", "parts": [{"text": "Do it"}]}
    return found | {"role": "user", "kind": "message", "parts": [{"kind": "text", "text": "Do it"}]}


def params(version: Version, operation: str, named: Named) -> dict[str, Any]:  # noqa: PLR0911  one for each
    """What JSON-RPC sends as ``params``."""
    if operation in {"send", "stream"}:
        configuration: dict[str, Any] = {}
        if named.get("waits") == "no":
            configuration = {"returnImmediately": True} if version == "1.0" else {"blocking": False}
        return {"message": message(version, named), "configuration": configuration}
    if operation == "list":
        return {"contextId": named["context"]} if "context" in named else {}
    if operation == "extended_card":
        return {}
    if operation == "set_push":
        config: dict[str, Any] = {
            "id": named.get("config", "mine"),
            "url": named.get("hook", "http://127.0.0.1:9/hook"),
        }
        if "token" in named:
            schemes = {"scheme": "Bearer"} if version == "1.0" else {"schemes": ["Bearer"]}
            config |= {"token": named["token"], "authentication": {**schemes, "credentials": named["token"]}}
        if version == "1.0":
            return {"taskId": named["task"], **config}
        return {"taskId": named["task"], "pushNotificationConfig": config}
    if operation.endswith("_push"):
        of_one = {} if operation == "list_push" else {"id": named.get("config", "mine")}
        if version == "1.0":
            return {"taskId": named["task"], **of_one}
        return {"id": named["task"]} | ({"pushNotificationConfigId": of_one["id"]} if of_one else {})
    return {"id": named["task"]}


def legacy_body(operation: str, given: dict[str, Any]) -> dict[str, Any]:
    """What REST 0.3 sends for the parameters of JSON-RPC."""
    if operation in {"send", "stream"}:
        written = {name: value for name, value in given["message"].items() if name not in {"kind", "parts"}}
        content = [{"text": part["text"]} for part in given["message"]["parts"]]
        return {**given, "request": written | {"role": "ROLE_USER", "content": content}} | {"message": None}
    task, config = given["taskId"], given["pushNotificationConfig"]
    name = f"tasks/{task}/{PUSHES}/{config['id']}"
    return {
        "parent": f"tasks/{task}",
        "configId": config["id"],
        "config": {"name": name, "pushNotificationConfig": config},
    }


@dataclass(frozen=True)
class Heard:
    """What came back."""

    reply: Reply

    @property
    def body(self) -> Any:
        """Of an answer that is JSON; of a stream: its events, without what JSON-RPC puts around them."""
        if "text/event-stream" in (self.reply.header("content-type") or ""):
            return [bare(event) for event in self.reply.events]
        return bare(self.reply.json) if self.reply.body else None

    @property
    def code(self) -> int | str | None:
        """Of a refusal: the code of JSON-RPC, or the reason that REST gives."""
        body = self.body[0] if isinstance(self.body, list) and self.body else self.body
        error = body.get("error", body) if isinstance(body, dict) else {}
        if isinstance(error, dict) and "details" in error:
            return next((str(one["reason"]) for one in error["details"] if "reason" in one), None)
        found = error.get("code", error.get("type")) if isinstance(error, dict) else None
        return found if isinstance(found, int | str) else None

    @property
    def task(self) -> dict[str, Any]:
        """The task that is the answer, whatever stands around it."""
        body = self.body[0] if isinstance(self.body, list) else self.body
        found = body.get("task", body)
        assert isinstance(found, dict), body
        return found


def bare(value: Any) -> Any:
    """Without what JSON-RPC puts around it; a refusal stays one."""
    if isinstance(value, dict) and "jsonrpc" in value:
        return value["result"] if "result" in value else {"error": value["error"]}
    return value


@dataclass
class Asker:
    """Asks an agent, through the gateway."""

    gateway: Gateway
    agent: str
    version: Version = "1.0"
    binding: Binding = "jsonrpc"
    key: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/a2a/agents/{self.agent}"

    def written(self, operation: str, named: Named) -> tuple[str, str, dict[str, Any] | None]:
        """Method, path and body of the HTTP request."""
        given = params(self.version, operation, named)
        if self.binding == "jsonrpc":
            name = METHODS[operation][0 if self.version == "1.0" else 1]
            return "POST", self.path, {"jsonrpc": "2.0", "id": 7, "method": name, "params": given}
        method, path = PATHS[operation]
        if self.version == "0.3":
            path = "/v1" + ("/card" if operation == "extended_card" else path)
        path = self.path + path.format(task=named.get("task", ""), config=named.get("config", "mine"))
        if operation == "list":
            return method, f"{path}?{urlencode(given)}" if given else path, None
        if operation in {"send", "stream", "set_push"}:
            body = given if self.version == "1.0" else legacy_body(operation, given)
            return method, path, {name: value for name, value in body.items() if value is not None}
        return method, path, None

    @property
    def told(self) -> dict[str, str]:
        """Headers that say which version it is."""
        return {"a2a-version": "1.0", **self.headers} if self.version == "1.0" else dict(self.headers)

    def ask(self, operation: str, **named: str) -> Heard:
        """Ask, and hear all of the answer."""
        method, path, body = self.written(operation, named)
        return Heard(self.gateway.request(method, path, body, self.told, key=self.key))

    @contextmanager
    def listening(self, operation: str, **named: str) -> Iterator[Iterator[Any]]:
        """The events of a stream, one after the other."""
        method, path, body = self.written(operation, named)
        made = HTTPConnection("127.0.0.1", self.gateway.port, timeout=SECONDS)
        key = self.gateway.key if self.key is None else self.key
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **self.told}
        made.request(method, path, json.dumps(body) if body is not None else None, headers)
        try:
            yield events(made.getresponse())
        finally:
            made.close()


def events(reply: HTTPResponse) -> Iterator[Any]:
    """What a stream says, comments left out."""
    assert reply.status == 200, reply.read()
    for line in reply:
        if line.startswith(b"data:"):
            yield bare(json.loads(line[5:]))


def as_key(gateway: Gateway, **allowed: Any) -> str:
    """A new key."""
    reply = gateway.post("/key/generate", {"object_permission": allowed} if allowed else {})
    assert reply.status == 200, reply.body
    return str(reply.json["key"])


def forgetting(body: Any, known: str) -> Any:
    """The same without an id, to compare what is said of one with what is said of another."""
    return json.loads(json.dumps(body).replace(known, "ID"))
