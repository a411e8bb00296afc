from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pointsman.ml.training import formats
from pointsman.ml.training.formats import format_of, read
from pointsman.ml.training.gathering import BadData

ROUTING = [
    {"query": "2 + 2?", "model_name": "small", "performance": 1.0, "task_name": "maths", "token_num": 9},
    {"query": "2 + 2?", "model_name": "large", "performance": 0.0, "task_name": "maths", "token_num": 9},
]
SCORED = [{"question": "2 + 2?", "scores": {"small": 1, "large": 0}}, {"question": "Hi", "scores": {"small": 0}}]
BENCHMARK = {"model_name": "small", "dataset_name": "aime", "records": [{"origin_query": "2 + 2?", "score": 1.0}]}


def lines(records: list[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def written(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return written


Put = Callable[[str, str | bytes], Path]


@pytest.mark.requirement("routing.learned.formats")
@pytest.mark.parametrize(
    ("text", "name"),
    [
        (lines(ROUTING), "llmrouter"),
        (json.dumps(SCORED), "routerdc"),
        (json.dumps(SCORED, indent=2), "routerdc"),
        (lines([{"query": "Hi", "records": {"small": 1}, "usages": {}}]), "avengers"),
        (json.dumps([{"query": "Hi", "records": {"small": 1}, "usages": {}}]), "avengers"),
        (json.dumps(BENCHMARK), "llmrouterbench"),
        (json.dumps(BENCHMARK, indent=2), "llmrouterbench"),
        ("prompt,eval_name,a,a|total_cost\nHi,x,1,0.1\n", "csv"),
        ("query,model,score\nHi,a,1\n", "csv"),
        (lines([{"judge": "ada", "model": "a", "conversation": [{"query": "Hi", "rating": 1}]}]), "gmt"),
        (lines([{"query": "Hi", "model": "a", "score": 1}]), "long-json"),
        ("\ufeff\n" + lines(ROUTING), "llmrouter"),
    ],
)
def test_a_format_is_told_by_what_is_in_the_file(put: Put, text: str, name: str) -> None:
    path = put("data.txt", text)
    assert format_of(path) == name
    assert len(read([path]).table) >= 1


def test_parquet_is_told_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "data"
    pq.write_table(pa.table({"query": ["Hi"], "model": ["a"], "score": [1.0]}), path)
    assert format_of(path) == "parquet"
    assert read([path]).formats == ("long",)


def test_files_of_several_formats_are_one_table(put: Put) -> None:
    told: list[str] = []
    found = read([put("a.jsonl", lines(ROUTING)), put("b.json", json.dumps(SCORED))], progress=told.append)
    assert (len(found.table), found.table.models) == (2, ("large", "small"))
    assert (found.formats, found.sources) == (("llmrouter", "routerdc"), ("a.jsonl", "b.json"))
    assert told == ["a.jsonl", "b.json"]


def test_queries_bring_their_choices_wherever_they_stand(put: Put) -> None:
    queries = put("z.jsonl", lines([{"task_name": "maths", "query": "2 + 2?", "choices": ["3", "4"]}]))
    routing = put("a.jsonl", lines(ROUTING))
    for order in ([routing, queries], [queries, routing]):
        assert read(order).table.prompts == ["2 + 2?\nA. 3\nB. 4"]


def test_a_directory_stands_for_its_files(put: Put, tmp_path: Path) -> None:
    put("bench/one.json", json.dumps(BENCHMARK))
    put("bench/two.json", json.dumps(BENCHMARK | {"model_name": "large"}))
    put("bench/readme.md", "No data.")
    found = read([tmp_path / "bench"])
    assert (found.table.models, found.sources) == (("large", "small"), ("one.json", "two.json"))


def test_prices_give_costs(put: Put) -> None:
    found = read([put("a.jsonl", lines(ROUTING))], prices={"small": (1.0, 2.0)}.get)
    assert found.table.cost_usd[0, 1] == pytest.approx((2 * 1 + 7 * 2) / 1e6)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "data.txt: is empty"),
        (b" \n ", "data.txt: is empty"),
        (b"hello", "data.txt: is in none of the formats that are read: llmrouter, routerdc"),
        (b"\x80\x04\x95", "data.txt: is a pickle or a torch file, which can run code"),
        (b"PK\x03\x04", "data.txt: is a pickle or a torch file, which can run code"),
        (b"[]", "data.txt: holds no records"),
        (b"[1]", "data.txt, record 1: is not an object"),
        (b"[{", "data.txt: is not JSON"),
        (b"{", "data.txt: is not JSON"),
        (b'{"messages": []}\n', "data.txt, line 1: has the members messages, as none of the formats"),
        (lines(ROUTING).encode() + b"{\n", "data.txt, line 3: Input data was truncated"),
        (lines([*ROUTING, ROUTING[0] | {"performance": 2}]).encode(), "data.txt, line 3: a score is from 0 to 1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(put: Put, text: bytes, what: str) -> None:
    with pytest.raises(BadData, match=what):
        read([put("data.txt", text)])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="absent: cannot be read"):
        read([tmp_path / "absent"])


def test_a_directory_without_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="holds no file that ends in"):
        read([tmp_path])


@pytest.mark.parametrize(
    ("name", "limit", "text", "what"),
    [
        ("MAX_LINE", 200, lines([*ROUTING, ROUTING[0] | {"query": "x" * 200}]), "line 3: is longer than"),
        ("MAX_DOCUMENT", 10, json.dumps(SCORED), "is one JSON value of more than"),
    ],
)
def test_absurd_sizes_are_refused(
    put: Put, monkeypatch: pytest.MonkeyPatch, name: str, limit: int, text: str, what: str
) -> None:
    path = put("data.txt", text)
    monkeypatch.setattr(formats, name, limit)
    with pytest.raises(BadData, match=what):
        read([path])


def test_too_many_files_are_refused(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_FILES", 1)
    with pytest.raises(BadData, match="more than 1 files"):
        read([put("a.jsonl", lines(ROUTING)), put("b.jsonl", lines(ROUTING))])


def test_spoilt_files_are_refused_or_read_and_nothing_else(put: Put) -> None:
    chance = random.Random(0)
    whole = [lines(ROUTING), json.dumps(SCORED), json.dumps(BENCHMARK), "prompt,a,a|total_cost\nHi,1,0.1\n"]
    pieces = [b"null", b"1e999", b"-1", b"[]", b"{}", b"\\ud800", b"\xff", b"\x00", b'"', b",", b"\n"]
    refused = 0
    for _ in range(400):
        text = bytearray(chance.choice(whole).encode())
        at = chance.randrange(len(text))
        text[at : at + chance.randrange(6)] = chance.choice(pieces)
        try:
            read([put("data.txt", bytes(text))])
        except BadData:
            refused += 1
    assert refused > 100


@pytest.mark.requirement("routing.learned.formats")
@pytest.mark.parametrize(
    "damaged", [b'{"kind":"decision","id":"0","ti\n', b"\x00\x00\n", b'ate","id":"0"}\n', b"\n[[[\n"]
)
def test_a_decision_log_whose_first_line_is_damaged_is_read_all_the_same(put: Put, damaged: bytes) -> None:
    decided = (
        b'{"kind":"decision","id":"1","time":1,"model":"auto","strategy":"knn","version":"v","candidates":["a","b"],'
        b'"quality":[0.5,0.5],"cost_usd":[0.1,0.1],"chosen":1,"first":1,"baseline":0,"propensity":1,"reason":"gain",'
        b'"price":1,"prompt":"Hi"}\n'
    )
    path = put("decisions-00000001-w.jsonl", damaged + decided + b'{"kind":"feedback","id":"1","time":2,"score":1}\n')
    assert format_of(path) == "decisions"
    found = read([path])
    assert (found.table.prompts, found.table.models) == (["Hi"], ("b",))
    assert any("could not be read" in note for note in found.notes)
