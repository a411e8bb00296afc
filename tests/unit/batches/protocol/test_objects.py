from __future__ import annotations

from openai.types import Batch

from pointsman.batches.protocol.objects import BatchDoc, BatchError, batch_object, doc_of, plain
from pointsman.store.work import BatchRow

DOC = BatchDoc(endpoint="/v1/chat/completions", input_file_id="file-1", metadata={"a": "b"})


def row(doc: BatchDoc = DOC, **values: object) -> BatchRow:
    given: dict[str, object] = {
        "id": "batch_1",
        "owner": "",
        "key_id": "",
        "kind": "openai",
        "executor": "lines",
        "state": "in_progress",
        "ending": "",
        "is_paused": False,
        "total": 3,
        "completed": 1,
        "failed": 1,
        "input_tokens": 10,
        "cached_tokens": 4,
        "output_tokens": 5,
        "reasoning_tokens": 2,
        "cost_nano_usd": 7,
        "created_at": 1.9,
        "expires_at": 86_401.9,
        "in_progress_at": 2.5,
        "finalizing_at": None,
        "cancelling_at": None,
        "ended_at": None,
        "doc": plain(doc),
        "fence": 1,
    }
    return BatchRow(**given | values)  # type: ignore[arg-type]


def test_a_document_is_what_it_was() -> None:
    doc = BatchDoc(
        endpoint="/v1/embeddings",
        input_file_id="f",
        errors=(BatchError(code="c", message="m", line=2),),
        provider={"id": "x"},
        headers={"x-a": "1"},
    )
    assert doc_of(row(doc)) == doc
    assert plain(DOC) == {"endpoint": "/v1/chat/completions", "input_file_id": "file-1", "metadata": {"a": "b"}}


def test_a_running_batch_is_openais_object_and_null_where_nothing_has_happened() -> None:
    assert batch_object(row()) == {
        "id": "batch_1",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "model": None,
        "errors": None,
        "input_file_id": "file-1",
        "completion_window": "24h",
        "status": "in_progress",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": 1,
        "in_progress_at": 2,
        "expires_at": 86_401,
        "finalizing_at": None,
        "completed_at": None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 3, "completed": 1, "failed": 1},
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 15,
        },
        "metadata": {"a": "b"},
    }


def test_the_time_of_the_end_stands_where_it_belongs_to() -> None:
    for state in ("completed", "failed", "expired", "cancelled"):
        told = batch_object(row(state=state, ended_at=9.0))
        assert [name for name in told if name.endswith("_at") and told[name] == 9] == [f"{state}_at"]


def test_openais_library_reads_it_with_its_errors() -> None:
    doc = BatchDoc(
        endpoint="/v1/chat/completions",
        input_file_id="f",
        errors=(BatchError(code="invalid_json", message="no", param="body", line=3),),
    )
    batch = Batch.model_validate(batch_object(row(doc, state="failed", ended_at=3.0)), strict=True)
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert (batch.errors.data[0].code, batch.errors.data[0].line) == ("invalid_json", 3)
    assert batch.failed_at == 3
