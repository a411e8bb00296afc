"""Rules about the code base that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "pointsman"
UNIT = ROOT / "tests" / "unit"
MODULES = sorted(SOURCE.rglob("*.py"))
MAX_MODULE_LINES = 700
MAX_FUNCTION_LINES = 60
WITHOUT_TWIN = {
    "__main__.py",  # two lines; the system tests start it
    "app.py",  # wiring; every system test runs it
}
ENVIRONMENT_READERS = (
    "config/document.py",
    "cli/",
    "upstream/litellm.py",  # which only sets what LiteLLM reads on import
)
CATCHES_EVERYTHING = {
    "batches/lines.py",  # a request ends there, of which nothing else comes than a line in a file
    "batches/runner.py",  # a step of a task ends there, which goes on with the next one
    "batches/steps.py",  # the same
    "config/checkpoints.py",  # trying an estimator of the operator's own ends there
    "config/custom.py",  # importing a module of the operator's ends there
    "config/outcomes.py",  # a change of the config ends there, which runs everything that can be configured
    "edge/gateway.py",  # a request ends there
    "ml/embedders/onnx.py",  # calls of libraries end there, which can raise anything
    "pipeline/checkpoints.py",  # a reload ends there, which runs estimators of the operator's own
    "pipeline/till.py",  # the settling of one call of many ends there
    "pipeline/mcp_use/rounds.py",  # a stream ends there, with an event that says so; it goes on to where requests end
    "routing/strategies/learned.py",  # scoring by an estimator of the operator's own ends there
    "upstream/credentials/caching.py",  # the getting of a credential ends there, for all who wait for it
    "telemetry/aside.py",  # hands whatever a call in a thread of its own raised to whoever waits
    "upstream/litellm.py",  # a call of LiteLLM's ends there, which can raise anything
    "upstream/response.py",  # hands whatever a foreign sink raised to whoever waits
    "upstream/uploads.py",  # hands whatever a foreign body raised to whoever sends it
}


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_fits_in_a_head(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_function_is_one_step(path: Path) -> None:
    long = [
        f.name
        for f in functions(ast.parse(path.read_text()))
        if f.end_lineno is not None and f.end_lineno - f.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_source_file_has_its_test_twin(path: Path) -> None:
    if path.name == "__init__.py" or name(path) in WITHOUT_TWIN or is_only_declarations(path):
        return
    twin = UNIT / path.relative_to(SOURCE).parent / f"test_{path.name}"
    assert twin.exists(), f"{twin.relative_to(ROOT)} is missing"


@pytest.mark.parametrize("path", sorted(UNIT.rglob("test_*.py")), ids=lambda p: p.relative_to(UNIT).as_posix())
def test_a_unit_test_has_its_source_file(path: Path) -> None:
    source = SOURCE / path.relative_to(UNIT).parent / path.name.removeprefix("test_")
    assert source.exists() or source.with_suffix("").is_dir()


def is_only_declarations(path: Path) -> bool:
    """Structs, protocols and constants have nothing to test."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
            if body:
                return False
    return True


def catches_everything(handler: ast.ExceptHandler) -> bool:
    """Cleaning up and raising again is not catching."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    return handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_everything_is_caught_only_where_a_request_or_a_task_ends(path: Path) -> None:
    found = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and catches_everything(node)
    ]
    assert not found or name(path) in CATCHES_EVERYTHING


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_environment_is_read_at_the_entrance_only(path: Path) -> None:
    if name(path).startswith(ENVIRONMENT_READERS):
        return
    found = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_is_executed_from_data(path: Path) -> None:
    forbidden = {"eval", "exec", "compile", "__import__"}
    tree = ast.parse(path.read_text())
    calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    imports = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert not calls & forbidden
    assert not imports & {"pickle", "marshal", "shelve", "subprocess"}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_background_task_is_started_in_few_known_places(path: Path) -> None:
    allowed = {
        "edge/server.py",  # one for each request
        "edge/loop.py",  # one for each connection that is being accepted
        "upstream/dialling.py",  # addresses that race; whoever dials waits for them
        "pipeline/hedging.py",  # attempts beside each other; whoever began them waits for all
        "pipeline/till.py",  # the settling of one call of many ends there
        "pipeline/mcp_use/rounds.py",  # tools that a model calls at a time; whoever began them waits for all
        "telemetry/tasks.py",  # the one way to start a background task
        "upstream/uploads.py",  # a request's body; whoever sends it waits for it
    }
    found = re.findall(r"\bcreate_task\(|\bensure_future\(", path.read_text())
    assert not found or name(path) in allowed


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_history_and_no_promises_in_source(path: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError|issue #\d", path.read_text())


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda p: p.name)
def test_a_lock_has_hashes_and_names_no_host(path: Path) -> None:
    text = path.read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.requirement("litellm.import")
def test_what_is_heavy_is_not_imported_at_start() -> None:
    heavy = {"litellm", "openai", "anthropic", "httpx", "aiohttp", "boto3", "pydantic", "torch", "sklearn", "obstore"}
    heavy |= {"sqlalchemy", "alembic", "aiosqlite", "asyncpg", "redis", "cryptography", "joserfc"}
    print_modules = "import sys, pointsman.app, pointsman.cli; print(*(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", print_modules], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "pointsman" in imported
    assert not imported & heavy


def test_the_core_has_at_most_thirty_packages() -> None:
    lock = (ROOT / "requirements" / "core.txt").read_text()
    assert len(re.findall(r"^[a-z0-9-]+==", lock, re.MULTILINE)) <= 30
