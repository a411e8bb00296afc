"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ADMIN = {
    "keys": ("key_alias", "team_id", "user_id", "organization_id", "budget_id", "parent", "created_at"),
    "teams": ("team_alias", "organization_id", "budget_id", "created_at"),
    "users": ("user_email", "organization_id", "budget_id", "created_at"),
    "organizations": ("organization_alias", "budget_id", "created_at"),
    "budgets": ("created_at",),
    "credentials": ("created_at",),
}
GROUPS = ("key_id", "team_id", "user_id", "organization_id", "model", "provider")
RARE = {"team_id": "", "user_id": "", "organization_id": "", "end_user": "", "session_id": "", "status": "success"}
AMOUNTS = ("requests", "failures", "input_tokens", "output_tokens", "cached_tokens", "cost_nano_usd")


def upgrade() -> None:
    """Make them."""
    for table, columns in ADMIN.items():
        _admin_table(table, columns)
    op.create_table("changes", _seq("seq"), *_texts("table_name", "row_id"))
    op.create_table(
        "audit",
        _seq("seq"),
        sa.Column("at", sa.Double, nullable=False),
        *_texts("who", "what", "target", "before", "after", "previous", "hash"),
    )
    op.create_index("audit_target", "audit", ["target", "seq"])
    op.create_index("audit_who", "audit", ["who", "seq"])
    op.create_table("meta", sa.Column("name", sa.Text, primary_key=True), *_texts("value"))
    _spend()


def _admin_table(table: str, columns: tuple[str, ...]) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(column, sa.Text) for column in columns),
        *_texts("doc"),
        *_numbers("version"),
    )
    for column in columns:
        is_unique = (table, column) == ("keys", "key_alias")
        op.create_index(f"{table}_{column}", table, [column] if is_unique else [column, "id"], unique=is_unique)


def _spend() -> None:
    op.create_table(
        "spend",
        sa.Column("at", sa.Double, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        *_texts(*GROUPS, "request_id", "end_user", "session_id", "status"),
        *_numbers(*AMOUNTS),
        *_numbers("hour"),
        *_texts("more"),
        postgresql_partition_by="RANGE (at)",
    )
    for column in ("key_id", "model"):
        op.create_index(f"spend_{column}", "spend", [column, "at"])
    for column, usual in RARE.items():
        rare = sa.text(f"{column} <> '{usual}'")
        op.create_index(f"spend_{column}", "spend", [column, "at"], sqlite_where=rare, postgresql_where=rare)
    op.create_index("spend_request_id", "spend", ["request_id"])
    op.create_table(
        "spend_content",
        sa.Column("at", sa.Double, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("content"),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_table(
        "spend_sums",
        _seq("span"),
        _seq("start"),
        *(sa.Column(name, sa.Text, primary_key=True) for name in GROUPS),
        *_numbers(*AMOUNTS),
        sqlite_with_rowid=False,
    )
    for column in ("key_id", "team_id", "user_id"):
        days = sa.text("span = 86400")
        op.create_index(
            f"spend_sums_{column}", "spend_sums", [column, "start"], sqlite_where=days, postgresql_where=days
        )


def _seq(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]
