"""Files that clients keep here, and those that batches have given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

EXPIRES = sa.text("expires_at IS NOT NULL")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "files",
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("owner", "purpose", "filename"),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        *_texts("sha256", "blob"),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
    )
    op.create_index("files_owner", "files", ["owner", "created_at", "id"])
    op.create_index("files_created_at", "files", ["created_at", "id"])
    op.create_index("files_blob", "files", ["blob"])
    op.create_index("files_expires_at", "files", ["expires_at"], sqlite_where=EXPIRES, postgresql_where=EXPIRES)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]
