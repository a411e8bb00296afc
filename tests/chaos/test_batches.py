"""Processes that are killed while they run a batch."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from chaos.batch_upstream import TOKENS
from chaos.batches import CONCURRENCY, NANOS_PER_LINE, Outcome, run
from contract.databases import new_database, postgres_or_skip, sqlite_url

LINES = int(os.environ.get("POINTSMAN_BATCH_LINES", "1500"))
"""CI's; ten thousand by hand."""
LEASE = float(os.environ.get("POINTSMAN_BATCH_LEASE", "2"))
PATIENCE = 240.0 + 4 * LEASE


def check(outcome: Outcome) -> None:
    """No line is lost or there twice, and what is told of spending is what was spent."""
    assert outcome.kills > 0
    assert outcome.batch["status"] == "completed"
    assert outcome.batch["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
    assert len(outcome.custom_ids) == outcome.custom_ids.total() == LINES
    usage = outcome.batch["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == tuple(LINES * tokens for tokens in TOKENS)
    # Lines that were begun, and whose result was not written, when a process was killed.
    most = outcome.kills * CONCURRENCY
    assert LINES <= outcome.upstream["calls"] <= LINES + most
    assert outcome.upstream["texts"] == LINES
    # What somebody was told who did not live to write it down is known to the upstream alone.
    assert LINES <= outcome.booked <= outcome.upstream["calls"]
    assert outcome.nanos == outcome.booked * NANOS_PER_LINE


@pytest.mark.requirement("batches.killed")
def test_with_workers_on_sqlite_that_are_killed_no_line_is_lost_and_none_is_written_twice(tmp_path: Path) -> None:
    check(run(tmp_path, sqlite_url(tmp_path), count=LINES, lease=LEASE, patience=PATIENCE))


@pytest.mark.requirement("batches.killed")
def test_with_replicas_on_postgresql_that_are_killed_no_line_is_lost_and_none_is_written_twice(tmp_path: Path) -> None:
    server = postgres_or_skip()
    try:
        url = asyncio.run(new_database(server))
        check(run(tmp_path, url, count=LINES, lease=LEASE, patience=PATIENCE))
    finally:
        server.close()
