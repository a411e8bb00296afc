"""The tables, for both engines. What changes here gets a migration, and :data:`HEAD` its name."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from pointsman.store.base import AMOUNTS, COLUMNS, GROUPS, UNIQUE

HEAD: Final = "0006"
"""The migration after which a database has these tables."""

metadata = sa.MetaData()


def _text(name: str, *, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _admin_table(name: str) -> sa.Table:
    columns = [sa.Column(column, sa.Text) for column in COLUMNS[name]]
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Text, primary_key=True),
        *columns,
        _text("doc"),
        _number("version"),
        *(_index(name, column) for column in COLUMNS[name]),
    )


def _index(table: str, column: str) -> sa.Index:
    """With the id, by which rows are ordered that have the same value."""
    if UNIQUE.get(table) == column:
        return sa.Index(f"{table}_{column}", column, unique=True)
    return sa.Index(f"{table}_{column}", column, "id")


ADMIN: Final = {name: _admin_table(name) for name in COLUMNS}

changes = sa.Table(
    "changes",
    metadata,
    # Without gaps, and in the order of the commits: who has seen one number has seen all before it.
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("table_name"),
    _text("row_id"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    _text("who"),
    _text("what"),
    _text("target"),
    _text("before"),
    _text("after"),
    _text("previous"),
    _text("hash"),
    sa.Index("audit_target", "target", "seq"),
    sa.Index("audit_who", "who", "seq"),
)

meta = sa.Table("meta", metadata, sa.Column("name", sa.Text, primary_key=True), _text("value"))

RARE: Final = {
    "team_id": "team_id <> ''",
    "user_id": "user_id <> ''",
    "organization_id": "organization_id <> ''",
    "end_user": "end_user <> ''",
    "session_id": "session_id <> ''",
    "status": "status <> 'success'",
}
"""Columns of the ledger that are indexed only where they say something: that condition has to be asked with."""

spend = sa.Table(
    "spend",
    metadata,
    # In this order, so that a page of the log is one range, and a day can be a partition.
    sa.Column("at", sa.Double, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    *map(_text, GROUPS),
    *map(_text, ("request_id", "end_user", "session_id", "status")),
    *map(_number, AMOUNTS),
    _number("hour"),
    _text("more"),
    *(sa.Index(f"spend_{name}", name, "at") for name in ("key_id", "model")),
    *(
        sa.Index(f"spend_{name}", name, "at", sqlite_where=sa.text(rare), postgresql_where=sa.text(rare))
        for name, rare in RARE.items()
    ),
    sa.Index("spend_request_id", "request_id"),
    postgresql_partition_by="RANGE (at)",
)

contents = sa.Table(
    "spend_content",
    metadata,
    sa.Column("at", sa.Double, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    _text("content"),
    postgresql_partition_by="RANGE (at)",
)

OF_DAYS: Final = sa.text("span = 86400")

sums = sa.Table(
    "spend_sums",
    metadata,
    sa.Column("span", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    *(sa.Column(name, sa.Text, primary_key=True) for name in GROUPS),
    *map(_number, AMOUNTS),
    *(
        # Of days only: hours do not tell keys and users apart.
        sa.Index(f"spend_sums_{name}", name, "start", sqlite_where=OF_DAYS, postgresql_where=OF_DAYS)
        for name in ("key_id", "team_id", "user_id")
    ),
    sqlite_with_rowid=False,
)
"""What the events of an hour or a day come to; ``span`` is 3600 or 86400 seconds, ``start`` where it begins.

Keys and users are told apart in days only, for in the hours of thousands of keys there would be a row for each event.
"""


def _key(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, primary_key=True) for name in names]


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


a2a_tasks = sa.Table(
    "a2a_tasks",
    metadata,
    *_key("agent", "id"),
    *map(_text, ("owner", "context", "replica", "version", "state")),
    sa.Column("is_over", sa.Boolean, nullable=False),
    *map(_time, ("changed_at", "first_at", "last_at")),
    sa.Index("a2a_tasks_owner", "owner", "agent", "changed_at", "id"),
    sa.Index("a2a_tasks_changed_at", "changed_at", "id"),
    sa.Index("a2a_tasks_last_at", "last_at"),
)

a2a_contexts = sa.Table(
    "a2a_contexts",
    metadata,
    *_key("agent", "id"),
    *map(_text, ("owner", "replica")),
    _time("last_at"),
    sa.Index("a2a_contexts_last_at", "last_at"),
)

a2a_push = sa.Table("a2a_push", metadata, *_key("agent", "task", "id"), _text("doc"))
"""What clients want to be told of tasks, and where."""


COUNTS: Final = ("completed", "failed", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
"""What a batch sums up of its lines, besides what they cost."""

IS_OPEN: Final = sa.text("ready_at IS NOT NULL")

batches = sa.Table(
    "batches",
    metadata,
    *_key("id"),
    *map(_text, ("owner", "key_id", "kind", "executor", "state", "ending")),
    sa.Column("is_paused", sa.Boolean, nullable=False),
    *map(_number, ("total", *COUNTS, "cost_nano_usd")),
    *map(_time, ("created_at", "expires_at")),
    *(sa.Column(name, sa.Double) for name in ("in_progress_at", "finalizing_at", "cancelling_at", "ended_at")),
    _text("doc"),
    _number("fence"),
    _text("holder"),
    # From then on anybody may take it; without one, nobody ever will.
    sa.Column("ready_at", sa.Double),
    sa.Index("batches_owner", "owner", "created_at", "id"),
    sa.Index("batches_created_at", "created_at", "id"),
    *(
        sa.Index(name, column, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)
        for name, column in (("batches_ready_at", "ready_at"), ("batches_open", "id"))
    ),
)
"""Those that have not ended have a ``ready_at``; ``holder`` is nothing where it is not leased."""

batch_lines = sa.Table(
    "batch_lines",
    metadata,
    *_key("batch"),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("custom_id"),
    *map(_number, ("offset", "length", "fence", "lapses")),
    _text("holder"),
    sa.Column("ready_at", sa.Double),
    _number("status"),
    sa.Column("is_failed", sa.Boolean, nullable=False),
    _text("request_id"),
    sa.Column("body", sa.LargeBinary),
    # What nobody has begun stands at its beginning, and what was given back or lost after that.
    sa.Index(
        "batch_lines_ready_at",
        "batch",
        "ready_at",
        "number",
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    ),
)
"""Lines of batches. Those that nobody has begun are ready since long ago, and those that are done never again."""

EXPIRES: Final = sa.text("expires_at IS NOT NULL")

files = sa.Table(
    "files",
    metadata,
    *_key("id"),
    *map(_text, ("owner", "purpose", "filename")),
    _number("bytes"),
    *map(_text, ("sha256", "blob")),
    _time("created_at"),
    sa.Column("expires_at", sa.Double),
    sa.Index("files_owner", "owner", "created_at", "id"),
    sa.Index("files_created_at", "created_at", "id"),
    sa.Index("files_blob", "blob"),
    sa.Index("files_expires_at", "expires_at", sqlite_where=EXPIRES, postgresql_where=EXPIRES),
)
"""Files of clients, and what batches have given; their bytes stand in blobs."""
