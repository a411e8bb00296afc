from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from pointsman.store.migrating import SCRIPTS, migrate, version
from pointsman.store.schema import HEAD


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as made:
        yield made
    engine.dispose()


def test_the_last_step_is_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_an_empty_database_is_brought_to_the_head_and_is_then_left_alone(connection: sa.Connection) -> None:
    assert version(connection) is None
    migrate(connection)
    assert version(connection) == HEAD
    migrate(connection)


def test_a_later_version_is_left_as_it_is(connection: sa.Connection) -> None:
    migrate(connection)
    connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    migrate(connection)
    assert version(connection) == "9999"


def test_alembic_is_not_loaded_where_there_is_nothing_to_do(tmp_path: Path) -> None:
    code = (
        "import sys, sqlalchemy as sa; from pointsman.store.migrating import migrate\n"
        f"with sa.create_engine('sqlite:///{tmp_path / 'x.db'}').begin() as c: migrate(c)\n"
        "print('alembic' in sys.modules)"
    )
    said = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert [one.stdout.strip() for one in said] == ["True", "False"]
