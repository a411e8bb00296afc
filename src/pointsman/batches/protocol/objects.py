"""A batch as OpenAI's clients see it, and what is kept of it that nobody looks for by its value."""

from __future__ import annotations

from typing import Any

import msgspec

from pointsman.batches.protocol.states import ENDED
from pointsman.store.work import BatchRow


class BatchError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with an input file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None
    """From 1; ``None``: it is no single line."""


class BatchDoc(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The document of a batch; :func:`msgspec.structs.replace` makes a changed one."""

    endpoint: str
    input_file_id: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    output_expires_after: dict[str, Any] | None = None
    """``anchor`` and ``seconds``."""
    model: str | None = None
    requested_by: str = ""
    """The name of the caller."""
    account: str = ""
    """What stays when the key of the caller is regenerated."""
    headers: dict[str, str] = {}
    """With which each line is run, in small letters."""
    errors: tuple[BatchError, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    provider: dict[str, Any] = {}
    """What the provider that runs it has said."""


def doc_of(row: BatchRow) -> BatchDoc:
    """The document of a batch."""
    return msgspec.convert(row.doc, BatchDoc)


def plain(doc: BatchDoc) -> dict[str, Any]:
    """As the store takes it."""
    values: dict[str, Any] = msgspec.to_builtins(doc)
    return values


def batch_object(row: BatchRow) -> dict[str, Any]:
    """A batch of OpenAI's API; what has not happened is null."""
    doc = doc_of(row)
    ended = {f"{state}_at": _seconds(row.ended_at) if state == row.state else None for state in sorted(ENDED)}
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": doc.endpoint,
        "model": doc.model,
        "errors": {"object": "list", "data": [_error(error) for error in doc.errors]} if doc.errors else None,
        "input_file_id": doc.input_file_id,
        "completion_window": doc.completion_window,
        "status": row.state,
        "output_file_id": doc.output_file_id,
        "error_file_id": doc.error_file_id,
        "created_at": _seconds(row.created_at),
        "in_progress_at": _seconds(row.in_progress_at),
        "expires_at": _seconds(row.expires_at),
        "finalizing_at": _seconds(row.finalizing_at),
        **ended,
        "cancelling_at": _seconds(row.cancelling_at),
        "request_counts": {"total": row.total, "completed": row.completed, "failed": row.failed},
        "usage": _usage(row),
        "metadata": doc.metadata,
    }


def _usage(row: BatchRow) -> dict[str, Any]:
    return {
        "input_tokens": row.input_tokens,
        "input_tokens_details": {"cached_tokens": row.cached_tokens},
        "output_tokens": row.output_tokens,
        "output_tokens_details": {"reasoning_tokens": row.reasoning_tokens},
        "total_tokens": row.input_tokens + row.output_tokens,
    }


def _error(error: BatchError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "param": error.param, "line": error.line}


def _seconds(at: float | None) -> int | None:
    return None if at is None else int(at)
