"""An agent that fails as it is told, of either version, over JSON-RPC; and a client's webhook."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal
from uuid import uuid4

from system.scripted import ScriptedHost

Act = Callable[[BaseHTTPRequestHandler, Any], None]
STAMP = "2026-01-02T03:04:05.000Z"
STATES = {
    "submitted": "TASK_STATE_SUBMITTED",
    "working": "TASK_STATE_WORKING",
    "completed": "TASK_STATE_COMPLETED",
    "canceled": "TASK_STATE_CANCELED",
}
NAMES = {
    "message/send": "SendMessage",
    "message/stream": "SendStreamingMessage",
    "tasks/get": "GetTask",
    "tasks/cancel": "CancelTask",
    "tasks/resubscribe": "SubscribeToTask",
    "tasks/pushNotificationConfig/set": "CreateTaskPushNotificationConfig",
}


@dataclass
class ScriptedAgent(ScriptedHost):
    """Answers at every path; methods behave as ``acts`` says, else as they should."""

    version: Literal["1.0", "0.3"] = "1.0"
    """That it speaks, whatever its card says."""
    acts: dict[str, Act] = field(default_factory=dict)
    """By method, as version 1.0 calls it; ``card`` for the card."""
    tokens: set[str] | None = None
    """That are let in; ``None``: nobody needs one."""
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Methods and their parameters."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of the requests that they came in."""
    cards: int = 0
    """How often somebody wanted its card."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Members of the card that are otherwise."""
    tasks: dict[str, str] = field(default_factory=dict)
    """States, in the words of 0.3."""
    contexts: dict[str, str] = field(default_factory=dict)
    goes_on: threading.Event = field(default_factory=threading.Event)
    """Set: what is held goes on."""

    @property
    def card(self) -> dict[str, Any]:
        """What it says of itself."""
        common = {
            "name": "Scripted",
            "description": "Fails as it is told",
            "version": "1",
            "capabilities": {"streaming": True, "pushNotifications": True},
            "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["text/plain"],
            "skills": [{"id": "s", "name": "S", "description": "Does it", "tags": ["t"]}],
        }
        if self.version == "1.0":
            interface = {"url": f"{self.origin}/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            return common | {"supportedInterfaces": [interface]} | self.changes
        return common | {"url": f"{self.origin}/", "protocolVersion": "0.3.0"} | self.changes

    def calls(self, method: str) -> int:
        """How often it has heard that."""
        return [name for name, _ in self.heard].count(method)

    def get(self, request: BaseHTTPRequestHandler) -> None:
        """Show the card."""
        self.cards += 1
        if "card" in self.acts:
            self.acts["card"](request, None)
        elif "agent-card.json" in request.path:
            self.reply(request, 200, json.dumps(self.card).encode())
        else:
            self.reply(request, 404, b"")

    def post(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer a request."""
        message = json.loads(body)
        name = message["method"]
        method = NAMES.get(name, name)
        self.heard.append((method, message.get("params", {})))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        authorization = request.headers.get("authorization", "")
        if self.tokens is not None and authorization.removeprefix("Bearer ") not in self.tokens:
            self.reply(request, 401, b"", {"www-authenticate": 'Bearer error="invalid_token"'})
        elif (name in NAMES) != (self.version == "0.3"):
            self.refuse(request, message, -32601, "Method not found")
        else:
            self.acts.get(method, self.behave)(request, message)

    def behave(self, request: BaseHTTPRequestHandler, message: Any) -> None:
        """What each method should do."""
        method = NAMES.get(message["method"], message["method"])
        if method == "SendMessage":
            self.result(request, message, self.sent(self.begun(message, "completed")))
        elif method == "SendStreamingMessage":
            task = self.begun(message, "working")
            self.open(request)
            self.say(request, message, self.of_task(task), self.of_status(task, "working"))
            self.end(request, message, task)
        elif method not in NAMES.values():
            self.refuse(request, message, -32601, "Method not found")
        elif message["params"].get("id") not in self.tasks:
            self.refuse(request, message, -32001, "Task not found")
        elif method == "GetTask":
            self.result(request, message, self.task(message["params"]["id"]))
        elif method == "CancelTask":
            self.tasks[message["params"]["id"]] = "canceled"
            self.result(request, message, self.task(message["params"]["id"]))
        elif method == "SubscribeToTask":
            task = message["params"]["id"]
            self.open(request)
            self.say(request, message, self.of_task(task))
            self.end(request, message, task)
        else:
            self.refuse(request, message, -32601, "Method not found")

    def begun(self, message: Any, state: str) -> str:
        """A new task for a message."""
        task = str(uuid4())
        self.tasks[task] = state
        self.contexts[task] = message["params"]["message"].get("contextId") or str(uuid4())
        return task

    def end(self, request: BaseHTTPRequestHandler, message: Any, task: str) -> None:
        """The usual end of a stream."""
        self.say(request, message, self.of_artifact(task, "all of it"))
        self.tasks[task] = "completed"
        self.say(request, message, self.of_status(task, "completed"))

    def hold(self, request: BaseHTTPRequestHandler, message: Any) -> None:
        """Begin a stream, and go on when somebody says so."""
        task = self.begun(message, "working")
        self.open(request)
        self.say(request, message, self.of_task(task), self.of_status(task, "working"))
        self.goes_on.wait(20)
        self.end(request, message, task)

    def cut(self, request: BaseHTTPRequestHandler, message: Any) -> None:
        """End a stream in the middle of an event; the task goes on."""
        task = self.begun(message, "working")
        self.open(request)
        self.say(request, message, self.of_task(task), self.of_artifact(task, "half ", is_last=False))
        request.wfile.write(b'data: {"jsonrpc": "2.0", "id"')
        request.wfile.flush()
        self.drop(request)

    def refuse(self, request: BaseHTTPRequestHandler, message: Any, code: int, text: str) -> None:
        """Answer with an error."""
        error = {"code": code, "message": text}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode()
        self.reply(request, 200, body)

    def say(self, request: BaseHTTPRequestHandler, message: Any, *told: dict[str, Any]) -> None:
        """Events of a stream."""
        for event in told:
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": event}).encode()
            request.wfile.write(b"data: " + body + b"\n\n")
            request.wfile.flush()

    def status(self, state: str) -> dict[str, Any]:
        return {"state": STATES[state] if self.version == "1.0" else state, "timestamp": STAMP}

    def task(self, task: str) -> dict[str, Any]:
        """A task as it is now."""
        found = {"id": task, "contextId": self.contexts[task], "status": self.status(self.tasks[task])}
        return found if self.version == "1.0" else found | {"kind": "task"}

    def sent(self, task: str) -> dict[str, Any]:
        """The result of a message."""
        return self.of_task(task)

    def of_task(self, task: str) -> dict[str, Any]:
        """A task as an event."""
        return {"task": self.task(task)} if self.version == "1.0" else self.task(task)

    def of_status(self, task: str, state: str) -> dict[str, Any]:
        """Another state as an event."""
        told = {"taskId": task, "contextId": self.contexts[task], "status": self.status(state)}
        if self.version == "1.0":
            return {"statusUpdate": told}
        return told | {"kind": "status-update", "final": state in {"completed", "canceled"}}

    def of_artifact(self, task: str, text: str, *, is_more: bool = False, is_last: bool = True) -> dict[str, Any]:
        """A piece of the one artifact as an event."""
        part = {"text": text} if self.version == "1.0" else {"kind": "text", "text": text}
        told = {
            "taskId": task,
            "contextId": self.contexts[task],
            "artifact": {"artifactId": "a", "parts": [part]},
            "append": is_more,
            "lastChunk": is_last,
        }
        return {"artifactUpdate": told} if self.version == "1.0" else told | {"kind": "artifact-update"}


@dataclass
class Hook(ScriptedHost):
    """Where a client is told of its tasks."""

    location: str = ""
    """Where everybody is redirected to."""
    heard: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    """Headers and bodies."""

    @property
    def url(self) -> str:
        return f"{self.origin}/hook"

    def post(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Take it, or send it elsewhere."""
        self.heard.append(({name.lower(): value for name, value in request.headers.items()}, json.loads(body)))
        if self.location:
            self.reply(request, 307, b"", {"location": self.location})
        else:
            self.reply(request, 200, b"")
