"""Gemini's files and batches, as it documents them, in memory; what it would not take is refused.

Sources: ai.google.dev/api/files, ai.google.dev/api/batch-mode, ai.google.dev/gemini-api/docs/batch-api.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

KEY: Final = "AIza-provider-93ab"
REQUEST: Final = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig", "cachedContent"}
)
ENDS: Final = {"completed": "SUCCEEDED", "failed": "FAILED", "expired": "EXPIRED", "cancelled": "CANCELLED"}
Answered = tuple[int, bytes, list[tuple[str, str]]]


class Refusal(Exception):
    """An error of the provider."""

    def __init__(self, message: str, status: int = 400, name: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        error = {"code": status, "message": message, "status": name}
        self.answer: Answered = status, json.dumps({"error": error}).encode(), []


@dataclass
class GeminiBatchProvider:
    """One project there."""

    key: str = KEY
    host: str = "provider.test"
    """By which it calls itself."""
    files: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    """Of files that it looks at."""
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Each request: its method and path."""
    refused: set[str] = field(default_factory=set)
    """The keys of lines that fail."""
    uploads: list[dict[str, Any]] = field(default_factory=list)
    """Files that were announced."""

    @property
    def inputs(self) -> list[list[dict[str, Any]]]:
        """The lines of each batch."""
        return [self._lines(batch["file"]) for batch in self.batches.values()]

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Status, body and headers; the names of ``headers`` are in small letters."""
        self.asked.append(f"{method} {target}")
        # Who knows the place of an upload may send it.
        if headers.get("x-goog-api-key") != self.key and "upload_id=" not in target:
            return Refusal("API key not valid. Please pass a valid API key.").answer
        try:
            found = self._route(method, urlsplit(target), headers, body)
        except Refusal as refusal:
            return refusal.answer
        value, more = found if isinstance(found, tuple) else (found, [])
        return 200, value if isinstance(value, bytes) else json.dumps(value).encode(), more

    def processed(self) -> None:
        """It has looked at all files."""
        self.states = dict.fromkeys(self.states, "ACTIVE")

    def begin(self) -> None:
        """It works on all batches."""
        for batch in self.batches.values():
            batch["state"] = "RUNNING"

    def end(self, status: str = "completed", most: int = 100_000) -> None:
        """All of its batches are over, so many of their requests were run."""
        for number, batch in enumerate(self.batches.values()):
            lines = [self._ran(line) for line in self._lines(batch["file"])[:most]]
            name = f"files/results-{number}"
            self.files[name] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            batch |= {"state": ENDS[status], "results": name if lines else None}

    def _lines(self, file: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[file].splitlines()]

    def _ran(self, line: dict[str, Any]) -> dict[str, Any]:
        if line["key"] in self.refused:
            return {"key": line["key"], "error": {"code": 3, "message": "no"}}
        return {"key": line["key"], "response": answer_of()}

    def _route(self, method: str, url: SplitResult, headers: Mapping[str, str], body: bytes) -> Any:
        path, _, verb = url.path.partition(":")
        query = parse_qs(url.query)
        match method, *path.split("/")[1:], verb:
            case "POST", "upload", "v1beta", "files", "":
                return self._upload(query, headers, body)
            case "POST", "v1beta", "models", model, "batchGenerateContent":
                return self._make(model, json.loads(body))
            case "GET", "v1beta", "batches", "":
                return self._listed(query)
            case "POST", "v1beta", "batches", name, "cancel":
                return self._cancelled(f"batches/{name}")
            case "GET", "v1beta", ("batches" | "files") as kind, name, "":
                return self._told(f"batches/{name}") if kind == "batches" else self._file(f"files/{name}")
            case "GET", "v1beta", "files", name, "download" if query == {"alt": ["media"]}:
                return self._downloaded(f"files/{name}")
        raise Refusal(f"Not found: {method} {url.path}", 404, "NOT_FOUND")

    def _upload(self, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes) -> Any:
        """The resumable protocol: a file is announced, and then sent to the place that is named for it."""
        command = headers.get("x-goog-upload-command")
        if command == "start" and headers.get("x-goog-upload-protocol") == "resumable":
            about = json.loads(body)["file"]
            length = headers.get("x-goog-upload-header-content-length")
            kind = headers.get("x-goog-upload-header-content-type")
            self.uploads.append({"about": about, "length": length, "kind": kind})
            place = f"https://{self.host}/upload/v1beta/files?upload_id={len(self.uploads)}&upload_protocol=resumable"
            return {}, [("x-goog-upload-url", place), ("x-goog-upload-status", "active")]
        if command != "upload, finalize" or headers.get("x-goog-upload-offset") != "0" or "upload_id" not in query:
            raise Refusal("Invalid upload")
        announced = self.uploads[int(query["upload_id"][0]) - 1]
        if announced["length"] != str(len(body)) != headers.get("content-length"):
            raise Refusal("The upload has another length than was announced")
        name = f"files/input-{len(self.uploads)}"
        self.files[name] = body
        self.states[name] = "PROCESSING"
        return {"file": self._file(name)}, [("x-goog-upload-status", "final")]

    def _file(self, name: str) -> dict[str, Any]:
        if name not in self.files:
            raise Refusal("You do not have permission to access the File, or it may not exist.", 403)
        size = str(len(self.files[name]))
        return {"name": name, "mimeType": "application/jsonl", "sizeBytes": size, "state": self.states.get(name)}

    def _make(self, model: str, wanted: dict[str, Any]) -> dict[str, Any]:
        batch = wanted["batch"]
        if wanted.keys() != {"batch"} or batch.keys() != {"displayName", "inputConfig"}:
            raise Refusal("Invalid JSON payload received. Unknown name")
        [(kind, file)] = batch["inputConfig"].items()
        if kind != "fileName" or self._file(file)["state"] != "ACTIVE":
            raise Refusal("The File is not in an ACTIVE state and usage is not allowed.", 400, "FAILED_PRECONDITION")
        for line in self._lines(file):
            _check(line)
        name = f"batches/b{len(self.batches)}"
        about = {"displayName": batch["displayName"], "model": f"models/{model}"}
        self.batches[name] = {"file": file, "about": about, "state": "PENDING", "results": None}
        return self._told(name)

    def _batch(self, name: str) -> dict[str, Any]:
        if name not in self.batches:
            raise Refusal("Requested entity was not found.", 404, "NOT_FOUND")
        return self.batches[name]

    def _told(self, name: str) -> dict[str, Any]:
        batch = self._batch(name)
        is_over = batch["state"] in ENDS.values()
        about = batch["about"] | {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "state": f"BATCH_STATE_{batch['state']}",
            "name": name,
            "createTime": "2026-01-02T03:04:05.678901234Z",
        }
        told = {"name": name, "metadata": about}
        if batch["results"] is not None:
            about["output"] = {"responsesFile": batch["results"]}
            told["response"] = {"responsesFile": batch["results"]}
        return told | ({"done": True} if is_over else {})

    def _listed(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """The last one first."""
        if query.keys() - {"pageSize", "pageToken"}:
            raise Refusal("Invalid query")
        names = list(self.batches)[::-1]
        start, size = int(query.get("pageToken", ["0"])[0]), int(query.get("pageSize", ["10"])[0])
        shown = {"operations": [self._told(name) for name in names[start : start + size]]}
        return shown | ({"nextPageToken": str(start + size)} if start + size < len(names) else {})

    def _cancelled(self, name: str) -> dict[str, Any]:
        self._batch(name)["is_cancelled"] = True
        return {}

    def _downloaded(self, name: str) -> bytes:
        self._file(name)
        if name in self.states:
            raise Refusal("Only generated files can be downloaded")
        return self.files[name]


def answer_of() -> dict[str, Any]:
    """One token each."""
    return {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "modelVersion": "gemini-up",
        "responseId": "r1",
    }


def _check(line: dict[str, Any]) -> None:
    if line.keys() != {"key", "request"} or not isinstance(line["key"], str):
        raise Refusal("Each line holds a key and a request")
    request = line["request"]
    if unknown := request.keys() - REQUEST:
        raise Refusal(f"Invalid JSON payload received. Unknown name {min(unknown)!r}")
    if not request.get("contents") or not all(content.get("parts") for content in request["contents"]):
        raise Refusal("GenerateContentRequest.contents: contents is not specified")
