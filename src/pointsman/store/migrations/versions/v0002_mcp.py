"""Servers of MCP, the definitions of their tools that were approved, and what the gateway signs in to them with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ADMIN = {
    "mcp_servers": ("created_at",),
    "mcp_pins": ("created_at",),
    "mcp_tokens": ("server_id", "user_id", "created_at"),
    "mcp_clients": ("created_at",),
}


def upgrade() -> None:
    """Make them."""
    for table, columns in ADMIN.items():
        op.create_table(
            table,
            sa.Column("id", sa.Text, primary_key=True),
            *(sa.Column(column, sa.Text) for column in columns),
            sa.Column("doc", sa.Text, nullable=False),
            sa.Column("version", sa.BigInteger, nullable=False),
        )
        for column in columns:
            op.create_index(f"{table}_{column}", table, [column, "id"])
