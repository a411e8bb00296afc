from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner
from contract.databases import new_database, sqlite_url, store
from contract.postgres import PostgresServer

from pointsman.access.keys import Pepper
from pointsman.cli import main
from pointsman.store.litellm import rows
from pointsman.wire.secret import Secret

KEY = "sk-canary-of-litellm-000001"
TOKEN = hashlib.sha256(KEY.encode()).hexdigest()
TABLES = """
CREATE TABLE "LiteLLM_BudgetTable" (budget_id text PRIMARY KEY, max_budget double precision, tpm_limit bigint,
    model_max_budget jsonb, created_at timestamp(3), created_by text);
CREATE TABLE "LiteLLM_TeamTable" (team_id text PRIMARY KEY, team_alias text, members_with_roles jsonb DEFAULT '{}',
    models text[], metadata jsonb DEFAULT '{}', spend double precision, blocked boolean DEFAULT false);
CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, key_name text, key_alias text, expires timestamp(3),
    models text[], aliases jsonb DEFAULT '{}', team_id text, budget_id text, metadata jsonb DEFAULT '{}',
    spend double precision, rpm_limit bigint, blocked boolean, budget_duration text, max_budget double precision);
INSERT INTO "LiteLLM_BudgetTable" VALUES ('b', 5.5, 100, '{"m": {"budget_limit": 1, "time_period": "1d"}}',
    '2026-01-02 03:04:05', 'admin');
INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias, members_with_roles, models)
    VALUES ('t', 'T', '[{"user_id": "u", "role": "admin"}]', '{m,n}');
"""


INSERT = (
    'INSERT INTO "LiteLLM_VerificationToken" (token, key_name, key_alias, expires, models, team_id, budget_id,'
    " metadata, spend, rpm_limit) VALUES ($1, 'sk-...0001', 'a', '2099-01-01', '{m}', 't', 'b',"
    """ '{"tags": ["x"], "model_rpm_limit": {"m": 2}}', 0.25, 7)"""
)


async def database_of_litellm(server: PostgresServer) -> str:
    """Its address."""
    source = await new_database(server)
    connection = await asyncpg.connect(source.partition("?")[0])
    try:
        await connection.execute(f"SET search_path TO {source.rpartition('=')[2]}; {TABLES}")
        await connection.execute(INSERT, TOKEN)
    finally:
        await connection.close()
    return source


async def test_tables_are_read_and_those_that_are_missing_are_empty(postgres: PostgresServer) -> None:
    source = Secret(await database_of_litellm(postgres))
    assert [row["token"] async for row in rows(source, "LiteLLM_VerificationToken")] == [TOKEN]
    assert [row async for row in rows(source, "LiteLLM_UserTable")] == []


def test_a_database_that_is_not_litellms_is_said_to_be_none(postgres: PostgresServer) -> None:
    source = asyncio.run(new_database(postgres))
    done = CliRunner().invoke(main, ["import-litellm", "--database", source, "--dry-run"])
    assert (done.exit_code, "no tables of LiteLLM's" in done.output) == (1, True)


@pytest.mark.requirement("access.import-litellm")
def test_what_litellm_has_in_its_database_is_here_afterwards(postgres: PostgresServer, tmp_path: Path) -> None:
    source = asyncio.run(database_of_litellm(postgres))
    for kept in (1, 0):
        done = CliRunner().invoke(main, ["import-litellm", "--database", source, "--to", sqlite_url(tmp_path)])
        assert done.exit_code == 0, done.output
        assert f"LiteLLM_VerificationToken: {kept} kept, {1 - kept} there already, 0 left behind" in done.output
    asyncio.run(look(sqlite_url(tmp_path)))


async def look(url: str) -> None:
    target = store(url)
    await target.open()
    row_id, form = Pepper(b"any").ids(KEY.encode())[1]
    key, team, budget = [
        await target.get(table, name) for table, name in (("keys", row_id), ("teams", "t"), ("budgets", "b"))
    ]
    assert key is not None
    assert team is not None
    assert budget is not None
    told = {name: key.doc[name] for name in ("form", "team_id", "budget_id", "tags", "model_rpm_limit", "rpm_limit")}
    assert told == {
        "form": form,
        "team_id": "t",
        "budget_id": "b",
        "tags": ["x"],
        "model_rpm_limit": {"m": 2},
        "rpm_limit": 7,
    }
    assert team.doc["members_with_roles"] == [{"user_id": "u", "role": "admin"}]
    assert (budget.doc["max_budget"], budget.doc["tpm_limit"]) == ("5.5", 100)
    assert await target.spent_since({"key_id": TOKEN}, 0.0) * 4 == 1
    assert await target.verify_audit() is None
    await target.close()
