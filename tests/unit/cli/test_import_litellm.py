from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from records import MemoryRecords

from pointsman.cli import import_litellm as module
from pointsman.cli import main
from pointsman.store import litellm
from pointsman.store.base import StoreDown

TOKEN = "b" * 64
ROWS: dict[str, list[dict[str, Any]]] = {
    "LiteLLM_BudgetTable": [{"budget_id": "b", "max_budget": 5.0}],
    "LiteLLM_TeamTable": [{"team_id": "t", "guardrails": ["pii"]}],
    "LiteLLM_UserTable": [{"user_id": "u", "user_role": "org_admin"}],
    "LiteLLM_VerificationToken": [
        {"token": TOKEN, "key_alias": "a", "team_id": "t", "spend": 0.25},
        {"token": "c" * 64, "key_alias": "a"},
        {"token": "d" * 64, "max_budget": -1.0},
    ],
}


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> MemoryRecords:
    made = MemoryRecords()

    async def rows(_url: object, table: str) -> AsyncIterator[dict[str, Any]]:
        for row in ROWS.get(table, ()):
            yield row

    monkeypatch.setattr(litellm, "rows", rows)
    monkeypatch.setattr(module, "records", lambda _: made)
    return made


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["import-litellm", *words])


def test_what_can_be_carried_over_is_and_the_rest_is_named(target: MemoryRecords) -> None:
    result = run("--database", "postgresql://x/y", "--to", "sqlite:///z")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "LiteLLM_BudgetTable: 1 kept, 0 there already, 0 left behind",
        "LiteLLM_OrganizationTable: 0 kept, 0 there already, 0 left behind",
        "LiteLLM_TeamTable: 1 kept, 0 there already, 0 left behind",
        "  ignored: guardrails (1)",
        "LiteLLM_UserTable: 1 kept, 0 there already, 0 left behind",
        "  mapped: user_role org_admin is internal_user (1)",
        "LiteLLM_VerificationToken: 1 kept, 0 there already, 2 left behind",
        f"  left behind: {'d' * 64}: max_budget: a budget is from 0 to 1,000,000,000 US dollars",
        f"  left behind: {'c' * 64}: its key_alias is taken",
    ]
    assert target.tables["keys"][TOKEN].doc["form"] == "sha256"
    assert [(one.key_id, one.team_id, one.cost_nano_usd) for one in target.events] == [(TOKEN, "t", 250_000_000)]
    assert {one.who for one in target.log} == {"import-litellm"}


def test_what_is_there_already_stays(target: MemoryRecords) -> None:
    run("--database", "postgresql://x/y")
    before = dict(target.tables["keys"])
    result = run("--database", "postgresql://x/y")
    assert "LiteLLM_VerificationToken: 0 kept, 1 there already" in result.output
    assert target.tables["keys"] == before
    assert len(target.events) == 1


def test_a_dry_run_writes_nothing(target: MemoryRecords) -> None:
    result = run("--database", "postgresql://x/y", "--dry-run")
    assert "LiteLLM_VerificationToken: 2 would be kept" in result.output
    assert not target.log
    assert not target.events


def test_a_config_is_checked(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("model_list: [{model_name: a, litellm_params: {model: openai/x, api_key: k}}]\nwrong: 1\n")
    result = run(str(config))
    assert result.exit_code == 0
    assert "wrong" in result.output
    assert result.output.splitlines()[-1].endswith("1 deployments; serve it as it is")
    config.write_text("model_list: {")
    assert run(str(config)).exit_code == 1


def test_there_has_to_be_something_to_import() -> None:
    assert run().exit_code == 2


def test_a_database_that_is_away_is_told(target: MemoryRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rows(_url: object, table: str) -> AsyncIterator[dict[str, Any]]:
        for row in ROWS.get(table, ()):
            if row:
                raise StoreDown("LiteLLM's database cannot be read")
            yield row

    monkeypatch.setattr(litellm, "rows", rows)
    result = run("--database", "postgresql://x/y")
    assert (result.exit_code, result.output) == (1, "Error: LiteLLM's database cannot be read\n")


@pytest.mark.parametrize(
    "url", ["garbage", "mysql://root:canary@h/d", "postgresql://u:canary@h:port/d", "postgresql+canary"]
)
def test_an_address_that_is_none_of_a_postgresql_is_told_in_one_line(url: str) -> None:
    result = run("--database", url, "--dry-run")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.endswith(": postgresql://user:password@host/name\n")
    assert "canary" not in result.output
