"""OpenAI's and Azure's files and batches, as they document them, in memory; what they would not take is refused.

Sources: platform.openai.com/docs/api-reference/files, .../batch; learn.microsoft.com/azure/foundry/openai/how-to/batch,
learn.microsoft.com/rest/api/azureopenai/files/upload.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Final, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

Dialect = Literal["openai", "azure", "anthropic", "gemini"]
KEY: Final = "sk-provider-93ab"
DAY: Final = 86_400
ENDPOINTS: Final = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations"}
)
CHAT: Final = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stop", "seed", "user"}
    | {"tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "store", "metadata"}
    | {"logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "service_tier"}
)
"""What the body of a chat can hold."""
RUNNING: Final = frozenset({"validating", "in_progress", "finalizing"})


class Refusal(Exception):
    """An error of the provider."""

    def __init__(self, message: str, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        self.answer = status, json.dumps({"error": error}).encode()


@dataclass
class BatchProvider:
    """One account there."""

    dialect: Dialect = "openai"
    key: str = KEY
    files: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    """Of files."""
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Each request: its method and path."""
    refused: set[str] = field(default_factory=set)
    """The ``custom_id`` of lines that fail."""

    @property
    def is_azure(self) -> bool:
        """Whether it is Azure."""
        return self.dialect == "azure"

    @property
    def root(self) -> str:
        """Where its API begins."""
        return "/openai/v1" if self.is_azure else "/v1"

    @property
    def inputs(self) -> list[list[dict[str, Any]]]:
        """The lines of each batch."""
        wanted = [self.files[batch["input_file_id"]] for batch in self.batches.values()]
        return [[json.loads(line) for line in one.splitlines()] for one in wanted]

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body; the names of ``headers`` are in small letters."""
        self.asked.append(f"{method} {target}")
        try:
            self._check_key(headers)
            status, value = self._route(method, urlsplit(target), headers, body)
        except Refusal as refusal:
            return refusal.answer
        return status, value if isinstance(value, bytes) else json.dumps(value).encode()

    def processed(self) -> None:
        """Its files have been looked at."""
        self.states = dict.fromkeys(self.states, "processed")

    def begin(self) -> None:
        """Its batches have been looked at."""
        for batch in self.batches.values():
            if batch["status"].lower() == "validating":
                batch["status"] = "in_progress"

    def end(self, status: str = "completed", most: int = 100_000) -> None:
        """All of its batches are over, in this state, after so many lines."""
        for batch in self.batches.values():
            if status == "failed":
                error = {"code": "token_limit_exceeded", "message": "Too many tokens are enqueued", "line": None}
                batch |= {"status": status, "errors": {"object": "list", "data": [error]}}
                continue
            output, errors = b"", b""
            lines = self.files[batch["input_file_id"]].splitlines()
            for text in lines[:most]:
                told, is_good = self._ran(json.loads(text))
                output, errors = (output + told, errors) if is_good else (output, errors + told)
            code = {"cancelled": "batch_cancelled", "expired": "batch_expired"}.get(status)
            for text in lines[most:] if code is not None else ():
                error = {"code": code, "message": "This request was not executed."}
                errors += _line({"custom_id": json.loads(text)["custom_id"], "response": None, "error": error})
            batch["status"] = status
            for name, content in (("output_file_id", output), ("error_file_id", errors)):
                if content:
                    batch[name] = f"file-{batch['id']}-{name}"
                    self.files[batch[name]] = content
                    self.states[batch[name]] = "processed"

    def _check_key(self, headers: Mapping[str, str]) -> None:
        name, value = ("api-key", self.key) if self.is_azure else ("authorization", f"Bearer {self.key}")
        if headers.get(name) != value:
            raise Refusal("Incorrect API key provided", 401, "invalid_api_key")

    def _route(self, method: str, url: SplitResult, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        status = 200
        value: Any = None
        is_there = url.path.startswith(self.root + "/")
        match method, *(url.path.removeprefix(self.root).split("/")[1:] if is_there else ()):
            case "POST", "files":
                status, value = 201 if self.is_azure else 200, self._upload(headers, body)
            case "GET", "files", name:
                value = self._file(name)
            case "GET", "files", name, "content":
                value = self.files[self._file(name)["id"]]
            case "POST", "batches":
                status, value = 201 if self.is_azure else 200, self._make(headers, body)
            case "GET", "batches":
                value = self._listed(parse_qs(url.query))
            case "GET", "batches", name:
                value = self._batch(name)
            case "POST", "batches", name, "cancel":
                value = self._cancel(name)
            case _:
                raise Refusal(f"Invalid URL ({method} {url.path})", 404)
        return status, value

    def _upload(self, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        kind = headers.get("content-type", "")
        if not kind.startswith("multipart/form-data; boundary="):
            raise Refusal("The request has no form")
        head = f"content-type: {kind}\r\n\r\n".encode()
        form = message_from_bytes(head + body, policy=policy.HTTP)
        parts = {str(one.get_param("name", header="content-disposition")): one for one in form.iter_parts()}
        file = parts.pop("file")
        assert isinstance(file, EmailMessage)
        fields = {name: str(one.get_payload()).strip() for name, one in parts.items()}
        least = 14 * DAY if self.is_azure else 3_600
        if fields.get("purpose") != "batch" or not (file.get_filename() or "").endswith(".jsonl"):
            raise Refusal("Invalid file format for Batch API. Must be .jsonl")
        if "content-type" not in file or file.get_content_type() not in (
            "application/octet-stream",
            "application/json",
        ):
            raise Refusal("The file has no or an empty content type specified.", code="invalidPayload")
        if fields.keys() - {"purpose"} != {"expires_after[anchor]", "expires_after[seconds]"}:
            raise Refusal("Additional properties are not allowed")
        if fields["expires_after[anchor]"] != "created_at" or not (
            least <= int(fields["expires_after[seconds]"]) <= 30 * DAY
        ):
            raise Refusal("Invalid value for expires_after")
        name = f"file-{len(self.files)}"
        data = file.get_payload(decode=True)
        assert isinstance(data, bytes)
        self.files[name] = data
        self.states[name] = "pending" if self.is_azure else "processed"
        return self._file(name)

    def _file(self, name: str) -> dict[str, Any]:
        if name not in self.files:
            raise Refusal(f"No such File object: {name}", 404)
        told = {"id": name, "object": "file", "bytes": len(self.files[name]), "filename": "batch.jsonl"}
        return told | {"purpose": "batch", "status": self.states[name], "expires_at": None}

    def _make(self, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        if headers.get("content-type") != "application/json":
            raise Refusal("you must provide a JSON body")
        wanted = json.loads(body)
        if wanted.keys() != {"input_file_id", "endpoint", "completion_window", "metadata"}:
            raise Refusal("Unknown parameter")
        if wanted["completion_window"] != "24h" or wanted["endpoint"] not in ENDPOINTS:
            raise Refusal("Invalid value")
        if len(wanted["metadata"]) > 16 or any(len(k) > 64 or len(v) > 512 for k, v in wanted["metadata"].items()):
            raise Refusal("Invalid metadata")
        file = self._file(wanted["input_file_id"])
        if file["status"] != "processed":
            raise Refusal(
                f"The input file '{file['id']}' is in '{file['status']}' state. Only files with status 'Processed' are "
                "accepted for batch inferencing. Please check the file status and try again",
                code="invalidPayload",
            )
        self._check_lines(self.files[file["id"]], wanted["endpoint"])
        name = f"batch_{len(self.batches)}"
        none = "" if self.is_azure else None
        state = "Validating" if self.is_azure else "validating"
        told = {"id": name, "object": "batch", "status": state, "errors": None, **wanted}
        self.batches[name] = told | {"output_file_id": none, "error_file_id": none}
        return self.batches[name]

    def _check_lines(self, data: bytes, endpoint: str) -> None:
        lines = [json.loads(line) for line in data.decode().splitlines()]
        for line in lines:
            if line.keys() != {"custom_id", "method", "url", "body"} or (line["method"], line["url"]) != (
                "POST",
                endpoint,
            ):
                raise Refusal("Invalid line")
        if (
            len({line["custom_id"] for line in lines}) < len(lines)
            or len({line["body"]["model"] for line in lines}) > 1
        ):
            raise Refusal("duplicate_custom_id, or mismatched_model")

    def _listed(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """The last one first."""
        if query.keys() - {"limit", "after"} or not 1 <= int(query.get("limit", ["20"])[0]) <= 100:
            raise Refusal("Invalid query")
        names = list(self.batches)[::-1]
        start = names.index(query["after"][0]) + 1 if "after" in query else 0
        end = start + int(query.get("limit", ["20"])[0])
        data = [self.batches[name] for name in names[start:end]]
        return {"object": "list", "data": data, "has_more": end < len(names)}

    def _batch(self, name: str) -> dict[str, Any]:
        if name not in self.batches:
            raise Refusal(f"No batch found with id '{name}'.", 404)
        return self.batches[name]

    def _cancel(self, name: str) -> dict[str, Any]:
        batch = self._batch(name)
        if batch["status"].lower() not in RUNNING:
            raise Refusal(f"Cannot cancel a batch with status '{batch['status']}'.", 409)
        batch["status"] = "cancelling"
        return batch

    def _ran(self, line: dict[str, Any]) -> tuple[bytes, bool]:
        """What comes of a line, and whether it was good."""
        body, unknown = line["body"], sorted(line["body"].keys() - CHAT)
        status, answer = 200, _completion(body["model"])
        if unknown or line["custom_id"] in self.refused:
            message = f"Unrecognized request argument supplied: {unknown}"
            status, answer = 400, {"error": {"message": message, "type": "invalid_request_error"}}
        response = {"status_code": status, "request_id": "req_1", "body": answer}
        return _line({"custom_id": line["custom_id"], "response": response, "error": None}), status == 200


def _completion(model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hi", "refusal": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps({"id": "batch_req_1", **value}).encode() + b"\n"
