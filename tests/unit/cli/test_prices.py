from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result

from pointsman.cli import main
from pointsman.cli.prices import SHOWN, summary
from pointsman.providers.registry import ModelEntry, PriceTable, builtin_table, read_table

MAP = {"gpt-x": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2e-06}}


def update(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["prices", "update", *map(str, arguments)])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "map.json"
    path.write_text(json.dumps(MAP))
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "prices.json"


@pytest.mark.requirement("prices.update")
def test_a_file_becomes_a_table_that_keeps_the_demos_prices(source: Path, output: Path) -> None:
    result = update(source, "-o", output)
    assert result.exit_code == 0, result.output
    table = read_table(output.read_bytes())
    assert table.models["openai"] == {"gpt-x": ModelEntry(input=Decimal(2))}
    assert table.models["demo"] == read_table(builtin_table()).models["demo"]
    assert (table.source, set(table.models)) == ("map.json", {"openai", "demo"})
    assert "added" in result.output
    assert list(output.parent.glob(".*")) == []


def test_a_second_update_is_compared_with_the_first(source: Path, output: Path) -> None:
    update(source, "-o", output)
    source.write_text(json.dumps(MAP | {"new": MAP["gpt-x"], "gpt-x": {**MAP["gpt-x"], "max_input_tokens": 9}}))
    said = update(source, "-o", output).output
    assert "1 added\n  openai/new\n" in said
    assert "1 changed\n  openai/gpt-x: context - to 9\n" in said
    assert "0 removed\n" in said


def test_a_dry_run_writes_nothing(source: Path, output: Path) -> None:
    result = update(source, "-o", output, "--dry-run")
    assert result.exit_code == 0
    assert not output.exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[]", "is not LiteLLM's price map"),
        (b"{}", "names no model"),
        (b"plain text", "is not LiteLLM's price map"),
        (b'{"\xff": {}}', "is not LiteLLM's price map"),
        (b'{"a":{"b":' + b"[" * 100_000, "is not LiteLLM's price map"),
    ],
    ids=["list", "empty", "text", "bytes", "deep"],
)
def test_what_is_no_price_map_leaves_the_table_as_it_is(source: Path, output: Path, text: bytes, why: str) -> None:
    update(source, "-o", output)
    before = output.read_bytes()
    source.write_bytes(text)
    result = update(source, "-o", output)
    assert result.exit_code == 1
    assert why in result.output
    assert output.read_bytes() == before


@pytest.mark.parametrize("text", [b"my thesis", b'{"as_of": "\xff"}'])
def test_a_file_that_is_no_table_is_not_overwritten(source: Path, output: Path, text: bytes) -> None:
    output.write_bytes(text)
    result = update(source, "-o", output)
    assert result.exit_code == 1
    assert "is left as it is" in result.output
    assert output.read_bytes() == text


def test_a_source_or_a_place_that_is_not_there_is_said(tmp_path: Path, source: Path) -> None:
    assert "cannot read" in update(tmp_path / "absent", "-o", tmp_path / "o").output
    assert "cannot write" in update(source, "-o", tmp_path / "absent" / "o").output


def test_only_so_many_changes_are_named() -> None:
    def table(count: int) -> PriceTable:
        models = {"v": {f"m{index:02}": ModelEntry() for index in range(count)}}
        return PriceTable(as_of="2026-01-02", source="", licence="", models=models)

    lines = summary(table(SHOWN + 3), table(0))
    assert lines[1:4] == ["0 added", "0 changed", f"{SHOWN + 3} removed"]
    assert lines[-1] == "  ... and 3 more"
    assert len(lines) == 4 + SHOWN + 1


@pytest.mark.parametrize("address", ["http://127.0.0.1/map.json", "ftp://127.0.0.1/map.json", "file:///etc/hosts"])
def test_only_https_addresses_are_fetched(address: str, output: Path) -> None:
    result = update(address, "-o", output)
    assert result.exit_code == 1
    assert "https addresses only" in result.output


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:canary@127.0.0.1:1/map.json?canary#canary", "https://127.0.0.1:1/map.json"),
        ("https://user:c@canary@127.0.0.1", "https://127.0.0.1"),
        ("https://user:canary@[::1/map.json", "https://[::1/map.json"),
        ("https://user:canary@\u2100.test/", "https://\u2100.test/"),
        ("https://user:canary@127.0.0.1:many/", "https://127.0.0.1:many/"),
    ],
)
def test_a_password_in_an_address_is_not_shown(address: str, shown: str, output: Path) -> None:
    result = update(address, "-o", output)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"cannot fetch {shown}: " in result.output
    assert "canary" not in result.output


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(MAP).encode()
        self.send_response(200 if self.path == "/map.json?token=canary" else 302)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NO_PROXY", "*")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.requirement("prices.update")
def test_an_https_address_is_fetched_and_its_query_is_kept_nowhere(address: str, output: Path) -> None:
    result = update(f"{address}/map.json?token=canary", "-o", output)
    assert result.exit_code == 0, result.output
    assert read_table(output.read_bytes()).source == f"{address}/map.json"
    assert "canary" not in result.output + output.read_text()


def test_an_answer_other_than_200_and_an_address_where_nobody_is_are_said(address: str, output: Path) -> None:
    moved = update(f"{address}/elsewhere?token=canary", "-o", output)
    assert moved.exit_code == 1
    assert "answered with status 302" in moved.output
    nobody = update("https://localhost:1/map.json?token=canary", "-o", output)
    assert nobody.exit_code == 1
    assert "cannot fetch https://localhost:1/map.json:" in nobody.output
    assert "canary" not in moved.output + nobody.output
    assert not output.exists()
