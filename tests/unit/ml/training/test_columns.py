from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pointsman.ml.training import columns
from pointsman.ml.training.columns import NoParquet, read_csv, read_parquet, routerbench_models, write_parquet
from pointsman.ml.training.gathering import BadData, Gathering, Reading

LONG: dict[str, list[Any]] = {
    "query_id": ["q/1", "q/1", "q/2"],
    "query": ["2 + 2?", "2 + 2?", "Hi"],
    "model": ["small", "large", "small"],
    "score": [1.0, 0.5, None],
    "cost_usd": [0.001, 0.02, float("nan")],
    "task": ["maths", "maths", "chat"],
    "split": ["train", "train", "test"],
    "anything": [1, 2, 3],
}
ROUTERBENCH = """sample_id,prompt,eval_name,small,large,small|model_response,small|total_cost,large|total_cost
a.1,"['First turn.\\n', 'It''s 2 + 2?']",grade-school-math,1.0,0.5,four,0.001,0.02
a.2,plain,mmlu,0.0,1.0,none,0.002,0.03
""".replace("''", "\\'")


def parquet(path: Path, found: dict[str, Any]) -> Reading:
    pq.write_table(pa.table(found), path)
    gathering = Gathering()
    read_parquet(path, gathering)
    return gathering.reading(("long",), (path.name,))


def comma(path: Path, text: str) -> Reading:
    path.write_text(text)
    gathering = Gathering()
    read_csv(path, gathering)
    return gathering.reading(("columns",), (path.name,))


@pytest.mark.requirement("routing.learned.formats")
def test_the_long_form_is_read_from_parquet(tmp_path: Path) -> None:
    found = parquet(tmp_path / "a.parquet", LONG)
    assert found.table.models == ("large", "small")
    np.testing.assert_allclose(found.table.quality, [[0.5, 1.0], [np.nan, np.nan]])
    np.testing.assert_allclose(found.table.cost_usd, [[0.02, 0.001], [np.nan, np.nan]])
    assert (found.table.prompt_ids, list(found.table.tasks)) == (["q/1", "q/2"], ["maths", "chat"])
    assert found.splits == ("train", "test")


def test_texts_may_be_kept_as_dictionaries(tmp_path: Path) -> None:
    coded = {
        name: pa.array(values).dictionary_encode() if isinstance(values[0], str) else values
        for name, values in LONG.items()
    }
    assert parquet(tmp_path / "a.parquet", coded).table.prompts == ["2 + 2?", "Hi"]


def test_many_rows_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "BATCH", 2)
    assert parquet(tmp_path / "a.parquet", LONG).table.prompts == ["2 + 2?", "Hi"]


def test_a_query_may_be_called_a_prompt_and_a_data_set_is_a_task(tmp_path: Path) -> None:
    table = parquet(tmp_path / "a.parquet", {"prompt": ["Hi"], "model": ["a"], "dataset": ["chat"], "score": [1]}).table
    assert (table.prompts, table.tasks, table.quality.tolist()) == (["Hi"], ["chat"], [[1.0]])


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({"question": ["Hi"], "model": ["a"]}, "a.parquet: has no column query; it has model, question"),
        ({"query": ["Hi"]}, "a.parquet: has no column model; it has query"),
        ({"query": ["Hi"], "model": ["a"], "score": ["good"]}, "a.parquet, row 1: score is no number: 'good'"),
        ({"query": ["Hi", None], "model": ["a", "a"]}, "a.parquet, row 2: the prompt is empty"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(tmp_path: Path, found: dict[str, Any], what: str) -> None:
    with pytest.raises(BadData, match=what):
        parquet(tmp_path / "a.parquet", found)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(LONG), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadData, match="cannot be read as Parquet"):
        read_parquet(path, Gathering())


def test_texts_that_are_no_unicode_are_refused(tmp_path: Path) -> None:
    broken = pa.array([b"\xff\xfe"]).cast(pa.string(), safe=False)
    with pytest.raises(BadData, match="cannot be read as Parquet"):
        parquet(tmp_path / "a.parquet", {"query": broken, "model": ["a"]})


def test_absurdly_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MAX_ROWS", 2)
    with pytest.raises(BadData, match="more than 2 rows"):
        parquet(tmp_path / "a.parquet", LONG)


@pytest.mark.requirement("routing.learned.formats")
def test_routerbench_has_a_column_for_each_model(tmp_path: Path) -> None:
    table = comma(tmp_path / "a.csv", ROUTERBENCH).table
    assert table.models == ("large", "small")
    assert table.prompts == ["First turn.\n\nIt's 2 + 2?", "plain"]
    assert table.quality.tolist() == [[0.5, 1.0], [1.0, 0.0]]
    np.testing.assert_allclose(table.cost_usd, [[0.02, 0.001], [0.03, 0.002]])
    assert (table.prompt_ids, list(table.tasks)) == (["a.1", "a.2"], ["grade-school-math", "mmlu"])


def test_routerbench_is_told_by_its_costs() -> None:
    assert routerbench_models(["prompt", "a", "a|total_cost", "b"]) == ["a"]
    assert routerbench_models(["query", "model", "score"]) == []


@pytest.mark.parametrize("prompt", ["[1, 2]", "[broken", "['a', 2]", "[" * 500 + "]" * 500])
def test_a_prompt_that_is_no_list_of_turns_stays_as_it_is(tmp_path: Path, prompt: str) -> None:
    text = f'prompt,eval_name,a,a|total_cost\n"{prompt}",x,1,0\n'
    assert comma(tmp_path / "a.csv", text).table.prompts == [prompt]


def test_the_long_form_is_read_from_csv(tmp_path: Path) -> None:
    found = comma(tmp_path / "a.csv", 'query,model,score,split\n"Hi,\nyou",a,1,\n2 + 2?,a,,test\n')
    assert found.table.prompts == ["Hi,\nyou", "2 + 2?"]
    assert found.splits == ("", "test")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a,b\n1,2\n", "a.csv: has no column query and no model; it has a, b"),
        ("query,model,score\nHi,a,much\n", "a.csv, line 2: score is no number: 'much'"),
        ("query,model,score\nHi,a\n", "a.csv, line 2: has more or fewer fields than the first line"),
        ("query,model,score\nHi,a,1,2\n", "a.csv, line 2: has more or fewer fields than the first line"),
        ('query,model\n"Hi"x,a\n', "a.csv: cannot be read as CSV"),
    ],
)
def test_a_wrong_csv_is_refused_with_its_place(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(BadData, match=what):
        comma(tmp_path / "a.csv", text)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"query,model\n\xff,a\n")
    with pytest.raises(BadData, match="cannot be read as CSV"):
        read_csv(tmp_path / "a.csv", Gathering())


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    write_parquet(path, {"query": ["a \ud800", None], "n": [1, 2], "x": [0.5, float("nan")], "y": [None, None]})
    found = pq.read_table(path).to_pydict()
    assert (found["query"], found["n"], found["y"]) == (["a ?", None], [1, 2], [None, None])
    assert found["x"][0] == 0.5
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    write_parquet(path, {"n": [1]})
    with pytest.raises(pa.ArrowException):
        write_parquet(path, {"n": [1], "m": [1, 2]})
    assert pq.read_table(path).to_pydict() == {"n": [1]}
    assert list(tmp_path.iterdir()) == [path]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    hint = r"pip install \"pointsman\[train\]\""
    with pytest.raises(NoParquet, match=hint):
        read_parquet(tmp_path / "a.parquet", Gathering())
    with pytest.raises(NoParquet, match=hint):
        write_parquet(tmp_path / "a.parquet", {"n": [1]})
