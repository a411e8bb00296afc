"""Batches and their lines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

COUNTS = ("completed", "failed", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
OPEN = sa.text("ready_at IS NOT NULL")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "batches",
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("owner", "key_id", "kind", "executor", "state", "ending"),
        sa.Column("is_paused", sa.Boolean, nullable=False),
        *_numbers("total", *COUNTS, "cost_nano_usd"),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("created_at", "expires_at")),
        *(sa.Column(name, sa.Double) for name in ("in_progress_at", "finalizing_at", "cancelling_at", "ended_at")),
        *_texts("doc"),
        *_numbers("fence"),
        *_texts("holder"),
        sa.Column("ready_at", sa.Double),
    )
    op.create_index("batches_owner", "batches", ["owner", "created_at", "id"])
    op.create_index("batches_created_at", "batches", ["created_at", "id"])
    op.create_index("batches_ready_at", "batches", ["ready_at"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index("batches_open", "batches", ["id"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_table(
        "batch_lines",
        sa.Column("batch", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        *_texts("custom_id"),
        *_numbers("offset", "length", "fence", "lapses"),
        *_texts("holder"),
        sa.Column("ready_at", sa.Double),
        *_numbers("status"),
        sa.Column("is_failed", sa.Boolean, nullable=False),
        *_texts("request_id"),
        sa.Column("body", sa.LargeBinary),
    )
    ready = ["batch", "ready_at", "number"]
    op.create_index("batch_lines_ready_at", "batch_lines", ready, sqlite_where=OPEN, postgresql_where=OPEN)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]
