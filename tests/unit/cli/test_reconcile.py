from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from pointsman.cli import main
from pointsman.cli.calling import NotDone


def drift(number: int, **more: Any) -> dict[str, Any]:
    return {"kind": "key", "id": f"k{number}", "model": None, "counted": 0.5, "spent": 0.75, **more}


@pytest.mark.requirement("budgets.reconcile")
def test_all_pages_of_all_holders_are_asked_for_and_differences_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    pages = [
        {"checked": 200, "drifts": [drift(1, counted=0.25, model="m")], "after": "k9"},
        {"checked": 3, "drifts": [drift(number) for number in range(25)], "after": None},
        *[{"checked": 0, "drifts": [], "after": None}] * 3,
    ]

    def post(url: str, path: str, key: str | None, body: Any) -> Any:
        asked.append((url, path, key, body))
        return pages.pop(0)

    monkeypatch.setattr("pointsman.cli.reconcile.post", post)
    done = CliRunner().invoke(main, ["reconcile", "--url", "http://g", "--admin-key", "sk-a"])
    assert done.exit_code == 0, done.output
    assert [(url, path, key) for url, path, key, _ in asked] == [("http://g", "/budget/reconcile", "sk-a")] * 5
    assert [(body["table"], body["after"]) for *_, body in asked] == [
        ("keys", None),
        ("keys", "k9"),
        ("users", None),
        ("teams", None),
        ("organizations", None),
    ]
    lines = done.output.splitlines()
    assert lines[0] == "keys: 203 budgets, 26 set"
    assert lines[1] == "  k1 for m: $0.25 were counted, $0.75 were spent"
    assert lines[2] == "  k0: $0.5 were counted, $0.75 were spent"
    assert lines[21] == "  and 6 more"
    assert lines[-1] == "organizations: 0 budgets, 0 set"


def test_a_gateway_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def post(*_: Any) -> Any:
        raise NotDone("cannot ask it")

    monkeypatch.setattr("pointsman.cli.reconcile.post", post)
    done = CliRunner().invoke(main, ["reconcile", "--admin-key", "sk-a"])
    assert done.exit_code == 1
    assert "cannot ask it" in done.output
