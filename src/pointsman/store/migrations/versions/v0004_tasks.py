"""Tasks of agents: whose they are, in which contexts, and who wants to be told of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "a2a_tasks",
        *_keys("agent", "id"),
        *_texts("owner", "context", "replica", "version", "state"),
        sa.Column("is_over", sa.Boolean, nullable=False),
        *_times("changed_at", "first_at", "last_at"),
    )
    op.create_index("a2a_tasks_owner", "a2a_tasks", ["owner", "agent", "changed_at", "id"])
    op.create_index("a2a_tasks_changed_at", "a2a_tasks", ["changed_at", "id"])
    op.create_index("a2a_tasks_last_at", "a2a_tasks", ["last_at"])
    op.create_table("a2a_contexts", *_keys("agent", "id"), *_texts("owner", "replica"), *_times("last_at"))
    op.create_index("a2a_contexts_last_at", "a2a_contexts", ["last_at"])
    op.create_table("a2a_push", *_keys("agent", "task", "id"), *_texts("doc"))


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, primary_key=True) for name in names]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _times(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double, nullable=False) for name in names]
