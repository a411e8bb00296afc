from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from click.testing import CliRunner

from pointsman.cli.check import check
from pointsman.config.schema import schema_text

GOOD = "model_list: [{model_name: m, litellm_params: {model: demo/small}}]\n"


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(check, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def _file(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_text(text)
    return str(path)


def test_a_good_file_has_no_problems_and_exits_with_0(tmp_path: Path) -> None:
    code, out, err = _run(_file(tmp_path, GOOD))
    assert (code, out) == (0, "")
    assert "no problems" in err


def test_all_problems_are_printed_with_place_path_and_hint(tmp_path: Path) -> None:
    text = GOOD + "general_settings:\n  master_kee: a\n  max_request_size_mb: big\nguardrails: []\n"
    path = _file(tmp_path, text)
    code, out, err = _run(path)
    assert code == 1
    assert out.splitlines() == [
        f"{path}:3:15: warning: general_settings.master_kee: is not a known key (did you mean master_key?)",
        f"{path}:4:24: error: general_settings.max_request_size_mb: must be a number, not text",
        f"{path}:5:1: notice: guardrails: is known but not acted on by this version",
    ]
    assert "1 error, 1 warning, 1 notice" in err


def test_warnings_and_notices_alone_exit_with_0(tmp_path: Path) -> None:
    assert _run(_file(tmp_path, GOOD + "guardrails: []\n"))[0] == 0


def test_a_file_may_be_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(GOOD,))
    writer.start()
    code, out, err = _run(str(pipe))
    writer.join()
    assert (code, out) == (0, ""), err


def test_a_file_that_is_not_there_exits_with_1(tmp_path: Path) -> None:
    code, out, _ = _run(str(tmp_path / "absent.yaml"))
    assert code == 1
    assert "cannot read" in out


def test_the_schema_is_printed_without_a_file() -> None:
    code, out, _ = _run("--schema")
    assert code == 0
    assert out == schema_text()
    assert json.loads(out)["title"] == "Pointsman config"


def test_a_file_is_asked_for() -> None:
    code, _, err = _run()
    assert code == 2
    assert "FILE" in err
