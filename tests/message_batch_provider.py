"""Anthropic's message batches, as it documents them, in memory; what it would not take is refused.

Sources: platform.claude.com/docs/en/api/messages/batches, .../build-with-claude/batch-processing, .../api/errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

KEY: Final = "sk-ant-provider-93ab"
ROOT: Final = "/v1/messages/batches"
PARAMS: Final = frozenset(
    {"model", "messages", "max_tokens", "system", "temperature", "top_p", "top_k", "stop_sequences", "tools"}
    | {"tool_choice", "thinking", "metadata", "service_tier", "output_config", "container"}
)
"""What a request can hold; the rest takes a beta."""
VERSIONS: Final = frozenset({"2023-06-01", "2026-10-21"})
MAX_REQUESTS: Final = 100_000
ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
DAY: Final = 86_400.0


class Refusal(Exception):
    """An error of the provider."""

    def __init__(self, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.answer = status, json.dumps(error_of(kind, message)).encode()


def error_of(kind: str, message: str) -> dict[str, Any]:
    """As it tells of errors."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


@dataclass
class MessageBatchProvider:
    """One workspace there."""

    key: str = KEY
    now: Callable[[], float] = lambda: datetime.now(UTC).timestamp()
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Each request: its method and path."""
    refused: set[str] = field(default_factory=set)
    """Numbers of lines that fail."""
    failure: str = "invalid_request_error"
    """How they do."""

    @property
    def inputs(self) -> list[list[dict[str, Any]]]:
        """The requests of each batch."""
        return [batch["requests"] for batch in self.batches.values()]

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body; the names of ``headers`` are in small letters."""
        self.asked.append(f"{method} {target}")
        try:
            self._check(headers)
            value = self._route(method, urlsplit(target), headers, body)
        except Refusal as refusal:
            return refusal.answer
        return 200, value if isinstance(value, bytes) else json.dumps(value).encode()

    def add(self, requests: list[dict[str, Any]], beta: str = "", created_at: float | None = None) -> str:
        """A batch that somebody has made; its id."""
        name = f"msgbatch_{len(self.batches)}"
        made = self.now() if created_at is None else created_at
        batch = {"status": "in_progress", "requests": requests, "results": [], "created_at": made, "beta": beta}
        self.batches[name] = batch
        return name

    def processed(self) -> None:
        """There are no files to be looked at."""

    def begin(self) -> None:
        """A batch is begun when it is made."""

    def end(self, status: str = "completed", most: int = 100_000) -> None:
        """All of its batches are over; so many requests were run, and the others are in this state."""
        rest = {"type": "canceled" if status == "cancelled" else "expired"}
        for batch in self.batches.values():
            told = [self._ran(one) if at < most else rest for at, one in enumerate(batch["requests"])]
            ids = [one["custom_id"] for one in batch["requests"]]
            results = [{"custom_id": name, "result": result} for name, result in zip(ids, told, strict=True)]
            # Their order is not promised.
            batch |= {"status": "ended", "results": results[::-1]}

    def _check(self, headers: Mapping[str, str]) -> None:
        if headers.get("x-api-key") != self.key:
            raise Refusal("invalid x-api-key", 401, "authentication_error")
        if headers.get("anthropic-version") not in VERSIONS:
            raise Refusal("anthropic-version: header is required")

    def _route(self, method: str, url: SplitResult, headers: Mapping[str, str], body: bytes) -> Any:
        is_there = url.path == ROOT or url.path.startswith(ROOT + "/")
        match method, *(url.path.removeprefix(ROOT).split("/")[1:] if is_there else ("?",)):
            case ["POST"]:
                return self._make(headers, body)
            case ["GET"]:
                return self._listed(parse_qs(url.query))
            case "GET", name:
                return self._told(name)
            case "POST", name, "cancel":
                return self._cancel(name)
            case "GET", name, "results":
                return self._results(name)
        raise Refusal("Not found", 404, "not_found_error")

    def _make(self, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        if headers.get("content-type") != "application/json":
            raise Refusal("the body must be JSON")
        wanted = json.loads(body)
        if wanted.keys() != {"requests"} or not 0 < len(wanted["requests"]) <= MAX_REQUESTS:
            raise Refusal("requests: Field required, with 1 to 100000 items")
        beta = headers.get("anthropic-beta", "")
        for at, request in enumerate(wanted["requests"]):
            _check_request(f"requests.{at}", request, beta)
        if len({one["custom_id"] for one in wanted["requests"]}) < len(wanted["requests"]):
            raise Refusal("requests: custom_id must be unique")
        return self._told(self.add(wanted["requests"], beta))

    def _listed(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """The last one first."""
        limit = int(query.get("limit", ["20"])[0])
        if query.keys() - {"limit", "after_id", "before_id"} or not 1 <= limit <= 100:
            raise Refusal("Invalid query")
        names = list(self.batches)[::-1]
        start = names.index(query["after_id"][0]) + 1 if "after_id" in query else 0
        shown = names[start : start + limit]
        ends = {"first_id": shown[0] if shown else None, "last_id": shown[-1] if shown else None}
        return {"data": [self._told(name) for name in shown], **ends, "has_more": start + limit < len(names)}

    def _batch(self, name: str) -> dict[str, Any]:
        if name not in self.batches:
            raise Refusal(f"No batch {name}", 404, "not_found_error")
        return self.batches[name]

    def _told(self, name: str) -> dict[str, Any]:
        batch = self._batch(name)
        is_over = batch["status"] == "ended"
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["processing"] = 0 if is_over else len(batch["requests"])
        for one in batch["results"]:
            counts[one["result"]["type"]] += 1
        return {
            "id": name,
            "type": "message_batch",
            "processing_status": {"cancelling": "canceling"}.get(batch["status"], batch["status"]),
            "request_counts": counts,
            "created_at": _moment(batch["created_at"]),
            "expires_at": _moment(batch["created_at"] + DAY),
            "ended_at": _moment(batch["created_at"] + 1.0) if is_over else None,
            "cancel_initiated_at": None,
            "archived_at": None,
            # Nobody is to follow it.
            "results_url": f"https://elsewhere.test{ROOT}/{name}/results" if is_over else None,
        }

    def _cancel(self, name: str) -> dict[str, Any]:
        batch = self._batch(name)
        if batch["status"] == "ended":
            raise Refusal("The batch has ended")
        batch["status"] = "cancelling"
        return self._told(name)

    def _results(self, name: str) -> bytes:
        batch = self._batch(name)
        if batch["status"] != "ended":
            raise Refusal("The batch is still in progress", 404, "not_found_error")
        return b"".join(json.dumps(one).encode() + b"\n" for one in batch["results"])

    def _ran(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["custom_id"].rpartition("-")[2] in self.refused:
            return {"type": "errored", "error": error_of(self.failure, "no")}
        return {"type": "succeeded", "message": message(request["params"]["model"])}


def message(model: str) -> dict[str, Any]:
    """An answer: one token each."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1, "service_tier": "batch"},
    }


def _check_request(place: str, request: dict[str, Any], beta: str) -> None:
    if request.keys() != {"custom_id", "params"} or not ID.fullmatch(request["custom_id"]):
        raise Refusal(f"{place}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    params = request["params"]
    if missing := {"model", "messages", "max_tokens"} - params.keys():
        raise Refusal(f"{place}.params.{min(missing)}: Field required")
    if not beta and (unknown := params.keys() - PARAMS):
        raise Refusal(f"{place}.params.{min(unknown)}: Extra inputs are not permitted")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
