from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pointsman.config import custom
from pointsman.config.custom import NoEstimator, estimator_of
from pointsman.ml.estimators.knn import Knn

OWN = """
from dataclasses import dataclass

@dataclass
class Mine:
    NAME = "mine"
    share: float = 0.5
    def fit(self, features, table): return self
    def score(self, features): ...
    def state(self): ...
    @classmethod
    def from_state(cls, state): return cls()

class Poor:
    NAME = "poor"
"""


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "routers").mkdir()
    (tmp_path / "routers" / "own.py").write_text(OWN)
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


@pytest.mark.requirement("routing.custom.estimator")
@pytest.mark.parametrize("reference", ["own:Mine", "routers.own:Mine"])
def test_a_class_in_a_file_beside_the_config_is_found(beside: Path, reference: str) -> None:
    assert estimator_of(reference, beside).NAME == "mine"


def test_a_file_beside_the_config_hides_no_module(beside: Path) -> None:
    (beside / "json.py").write_text(OWN)
    assert estimator_of("json:Mine", beside).NAME == "mine"
    assert hasattr(sys.modules["json"], "loads")


@pytest.mark.requirement("routing.custom.estimator")
def test_a_class_of_an_installed_module_is_found(beside: Path) -> None:
    assert estimator_of("pointsman.ml.estimators.knn:Knn", beside) is Knn
    assert estimator_of("pointsman.ml.estimators.knn:Knn") is Knn


@pytest.mark.requirement("routing.custom.estimator")
def test_an_entry_point_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("mine", "pointsman.ml.estimators.knn:Knn", custom.GROUP)]

    def found(*, group: str, name: str) -> list[EntryPoint]:
        return [point for point in points if (point.group, point.name) == (group, name)]

    monkeypatch.setattr(custom, "entry_points", found)
    assert estimator_of("mine") is Knn
    with pytest.raises(NoEstimator, match="there is no estimator 'other'"):
        estimator_of("other")


@pytest.mark.parametrize(
    ("reference", "what"),
    [
        ("own:Poor", "no method fit"),
        ("own:Nothing", "cannot be imported"),
        ("own:OWN.Mine", "there is no estimator"),
        ("../own:Mine", "there is no estimator"),
        ("own", "there is no estimator"),
        ("", "there is no estimator"),
        ("nowhere:Mine", "cannot be imported: ModuleNotFoundError"),
        ("json:loads", "is not a class"),
        ("json:JSONDecoder", "NAME has to be a text"),
    ],
)
def test_what_is_no_estimator_is_refused(beside: Path, reference: str, what: str) -> None:
    with pytest.raises(NoEstimator, match=what):
        estimator_of(reference, beside)


@pytest.mark.parametrize("text", ["1 / 0", "raise SystemError", "def", "import nowhere"])
def test_a_module_that_cannot_be_imported_is_told(beside: Path, text: str) -> None:
    (beside / "broken.py").write_text(text)
    with pytest.raises(NoEstimator, match="broken:Mine cannot be imported"):
        estimator_of("broken:Mine", beside)
