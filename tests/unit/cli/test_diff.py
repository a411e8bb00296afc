from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from unit.config.sources.getters import Memory

from pointsman.cli import diff as module
from pointsman.cli import main

OLD = "model_list: [{model_name: a, litellm_params: {model: demo/small, rpm: 1}, model_info: {id: one}}]"
NEW = OLD.replace("rpm: 1", "rpm: 2")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["diff", *map(str, arguments)])


@pytest.mark.requirement("config.diff")
def test_what_a_reload_would_change_is_printed(old: Path, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(NEW)
    result = run(old, tmp_path / "new.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "~ deployments[a/one].rpm: 1 to 2\n", "1 change\n")


def test_equal_configs_have_no_changes(old: Path) -> None:
    result = run(old, old)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "0 changes\n")


def test_a_config_may_be_in_a_bucket(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Bucket", lambda *_: Memory(**{"p/c.yaml": NEW.encode()}))
    assert run(old, "s3://b/p/c.yaml").stdout == "~ deployments[a/one].rpm: 1 to 2\n"


def test_a_config_that_cannot_be_used_is_said(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new.yaml").write_text("model_list: 3")
    result = run(old, tmp_path / "new.yaml")
    assert result.exit_code == 1
    assert "new.yaml:1:13: error: model_list: must be" in result.output
    assert "cannot read" in run(old, tmp_path / "absent.yaml").output
    monkeypatch.setattr(module, "Bucket", lambda *_: Memory())
    assert "there is no p/c.yaml" in run(old, "s3://b/p/c.yaml").output
