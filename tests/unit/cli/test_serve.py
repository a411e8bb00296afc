from __future__ import annotations

import gc
import importlib
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pointsman.cli.serve import _address, _announce, _completed, _listen, serve
from pointsman.cli.state import KEY_FILE, AdminKey, admin_key, data_directory
from pointsman.config.loading import load
from pointsman.config.outcomes import Refused
from pointsman.config.snapshot import Snapshot
from pointsman.edge.drain import DrainSettings
from pointsman.edge.line import Peers
from pointsman.wire.secret import Secret

MODEL = "model_list: [{model_name: house, litellm_params: {model: demo/small}}]\n"
KEY = "general_settings: {master_key: sk-canary-1234}\n"
AUTOMATIC = "general_settings: {master_key: auto}\n"
Servers = list[Any]


@pytest.fixture
def no_socket_left() -> Iterator[None]:
    """A socket that nobody closed is said when it is collected; here, and not in whatever test comes later."""
    yield
    gc.collect()


class RecordingServer:
    """Keeps how it would have been run."""

    def __init__(self, settings: Any, drain: DrainSettings, peers: Peers | None = None) -> None:
        self.settings = settings
        self.drain = drain
        self.line = None if peers is None else peers._line
        self.loans: socket.socket | None = settings.app._running.args[-1]
        self.is_clean = True
        self.listeners: list[socket.socket] = []

    def run(self, sockets: list[socket.socket]) -> None:
        self.listeners += sockets


class RecordingSupervisor:
    """Keeps what it would have supervised."""

    def __init__(self, spawn: Any, listener: socket.socket, *, count: int, patience: float) -> None:
        self.command, self.shared = spawn.args
        self.listeners = [listener]
        self.count = count
        self.patience = patience
        self.line: socket.socket | None = None
        self.loans: socket.socket | None = None

    async def run(self) -> int:
        return 7


@pytest.fixture
def open_files() -> list[tuple[int, int]]:
    """Limits that were asked for; the test's own process keeps its."""
    return []


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, open_files: list[tuple[int, int]]) -> Iterator[Servers]:
    servers: Servers = []

    def record(kind: Callable[..., Any]) -> Callable[..., Any]:
        def make(*args: Any, **options: Any) -> Any:
            servers.append(kind(*args, **options))
            return servers[-1]

        return make

    # `pointsman.cli.serve` as an attribute is the command; the module is only in the import system.
    module = importlib.import_module("pointsman.cli.serve")
    monkeypatch.setattr(module, "DrainingServer", record(RecordingServer))
    monkeypatch.setattr(module, "Supervisor", record(RecordingSupervisor))
    monkeypatch.setattr(module.resource, "setrlimit", lambda _, limits: open_files.append(limits))
    monkeypatch.setenv("POINTSMAN_DATA_DIR", str(tmp_path / "data"))
    for name in (
        "POINTSMAN_MASTER_KEY",
        "LITELLM_MASTER_KEY",
        "CONFIG_FILE_PATH",
        "HOST",
        "PORT",
        "NUM_WORKERS",
        "DRAIN_DELAY",
        "DRAIN_TIMEOUT",
    ):
        monkeypatch.delenv(name, raising=False)
    yield servers
    for server in servers:
        for opened in (*server.listeners, server.line, server.loans):
            if opened is not None:
                opened.close()


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return str(path)

    return write


def snapshot(text: str, tmp_path: Path) -> Snapshot:
    path = tmp_path / "snapshot.yaml"
    path.write_text(text)
    found = load(path, {}).snapshot
    assert found is not None
    return found


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(serve, [*arguments, "--port", "0"] if "--port" not in arguments else [*arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("host", "has_key", "is_told", "address"),
    [
        (None, True, False, "0.0.0.0"),
        (None, False, False, "127.0.0.1"),
        (None, False, True, "127.0.0.1"),
        ("0.0.0.0", True, False, "0.0.0.0"),
        ("0.0.0.0", False, True, "0.0.0.0"),
        ("127.0.0.5", False, False, "127.0.0.5"),
        ("::1", False, False, "::1"),
        ("localhost", False, False, "localhost"),
        ("0.0.0.0", False, False, None),
        ("::", False, False, None),
        ("10.0.0.1", False, False, None),
        ("gateway.example", False, False, None),
        ("localhost.example", False, False, None),
        ("", False, False, None),
    ],
)
def test_without_a_key_only_loopback_is_listened_on_unless_told(
    tmp_path: Path, host: str | None, has_key: bool, is_told: bool, address: str | None
) -> None:
    known = snapshot(MODEL + KEY if has_key else MODEL, tmp_path)
    if address is not None:
        assert _address(host, known, is_told) == address
        return
    with pytest.raises(click.ClickException) as raised:
        _address(host, known, is_told)
    assert "--allow-unauthenticated" in raised.value.message
    assert "general_settings.master_key" in raised.value.message


def test_a_port_in_use_is_said_with_what_to_do(no_socket_left: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(click.ClickException) as raised:
            _listen("127.0.0.1", port)
    assert raised.value.message.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert "--port" in raised.value.message


def test_an_address_of_another_machine_is_said(no_socket_left: None) -> None:
    with pytest.raises(click.ClickException, match=r"cannot listen on 192\.0\.2\.1:0: "):
        _listen("192.0.2.1", 0)


def test_a_listener_is_heard() -> None:
    with _listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as client:
        # A restart is not held up by connections of the gateway before it.
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert client.getpeername() == listener.getsockname()


def announced(text: str, tmp_path: Path, capsys: Any, key: AdminKey | None = None) -> str:
    known = snapshot(text, tmp_path)
    with _listen("127.0.0.1", 0) as listener:
        _announce(known if key is None else known.with_master_key(key.secret), key, listener)
        out: str = capsys.readouterr().out
        assert f"http://127.0.0.1:{listener.getsockname()[1]}" in out
    return out


def test_a_key_that_is_new_is_shown_and_one_that_was_there_is_not(tmp_path: Path, capsys: Any) -> None:
    for is_new in (True, False):
        key = AdminKey(secret=Secret("sk-canary"), path=Path("/my data/admin-key"), is_new=is_new)
        out = announced(MODEL + AUTOMATIC, tmp_path, capsys, key)
        assert ("sk-canary" in out) is is_new
        assert ("Admin key, shown this once and kept in" in out) is is_new
        assert ("The admin key is in" in out) is not is_new
        assert "/my data/admin-key" in out
        assert ('Bearer sk-canary"' if is_new else "Bearer $(cat '/my data/admin-key')\"") in out


def test_a_key_of_the_operator_is_never_shown(tmp_path: Path, capsys: Any) -> None:
    out = announced(MODEL + KEY, tmp_path, capsys)
    assert "canary" not in out
    assert "Bearer $POINTSMAN_MASTER_KEY" in out


def test_without_a_key_it_is_said_that_everybody_is_let_in(tmp_path: Path, capsys: Any) -> None:
    out = announced(MODEL, tmp_path, capsys)
    assert "No master key is set" in out
    assert "Authorization" not in out
    assert '"model": "house"' in out


def test_a_gateway_runs_on_the_socket_that_was_announced(started: Servers, config: Callable[[str], str]) -> None:
    code, out, _ = run("--config", config(MODEL + KEY))
    assert code == 0
    (server,) = started
    assert server.line is None
    (listener,) = server.listeners
    host, port = listener.getsockname()
    assert host == "0.0.0.0"
    assert f"Pointsman listens on http://127.0.0.1:{port}\n" in out
    assert (server.settings.lifespan, server.settings.access_log) == ("on", False)
    assert server.drain == DrainSettings(delay=5.0, timeout=600.0)


def test_what_was_cut_short_is_told_by_the_exit_code(
    started: Servers, config: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_and_cut(self: RecordingServer, sockets: list[socket.socket]) -> None:
        self.listeners += sockets
        self.is_clean = False

    monkeypatch.setattr(RecordingServer, "run", run_and_cut)
    assert run("--config", config(MODEL))[0] == 1


def test_as_many_files_may_be_open_as_the_system_allows(
    started: Servers, config: Callable[[str], str], open_files: list[tuple[int, int]]
) -> None:
    run("--config", config(MODEL))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert open_files == [(hard, hard)]


@pytest.mark.parametrize(("said", "used"), [(None, "1"), ("4", "4")])
def test_products_are_computed_in_one_thread_unless_somebody_says_otherwise(
    started: Servers,
    config: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    said: str | None,
    used: str,
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", said or "")
    if said is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    run("--config", config(MODEL))
    assert os.environ["OPENBLAS_NUM_THREADS"] == used


def test_workers_are_started_with_what_their_parent_was_told_and_no_key(
    started: Servers, config: Callable[[str], str]
) -> None:
    path = config(MODEL + AUTOMATIC)
    options = ("--workers", "3", "--drain-delay", "1.5", "--drain-timeout", "20", "--allow-unauthenticated")
    code, out, _ = run("--config", path, *options)
    (supervisor,) = started
    # Its exit code is the gateway's.
    assert code == 7
    assert "Pointsman listens on" in out
    assert supervisor.shared is supervisor.listeners[0]
    assert (supervisor.count, supervisor.patience) == (3, 31.5)
    assert supervisor.command == [
        *(sys.executable, "-P", "-m", "pointsman", "serve", "--workers", "1", "--port", "0"),
        *("--drain-delay", "1.5", "--drain-timeout", "20.0", "--config", path, "--allow-unauthenticated", "--as-kept"),
    ]
    run("--workers", "2")
    assert "--config" not in started[1].command


@contextmanager
def inherited() -> Iterator[tuple[str, ...]]:
    """Options as the parent of a worker gives them, with descriptors that are the worker's to close."""
    with _listen("0.0.0.0", 0) as listener:
        ours, theirs = socket.socketpair()
        lender, borrower = socket.socketpair()
        with ours, lender:
            yield ("--inherited", str(os.dup(listener.fileno())), str(theirs.detach()), str(borrower.detach()))


def test_a_worker_serves_on_what_it_inherits_and_announces_nothing(
    started: Servers, config: Callable[[str], str]
) -> None:
    warned = "litellm_settings: {no_such_setting: 1}\n"
    with inherited() as options:
        assert run("--config", config(MODEL + KEY + warned), *options) == (0, "", "")
    (server,) = started
    assert server.listeners[0].getsockname()[0] == "0.0.0.0"
    assert server.line.family == socket.AF_UNIX
    # What the worker itself starts shall not keep its parent waiting for the end of the line.
    assert not server.line.get_inheritable()
    assert not server.loans.get_inheritable()


@pytest.mark.requirement("config.kept.workers")
def test_a_worker_serves_what_is_in_force_whatever_its_file_has_become(
    started: Servers, config: Callable[[str], str]
) -> None:
    run("--config", config(MODEL + KEY), "--workers", "2")
    with inherited() as options:
        assert run("--config", config("model_list: 7"), *options, "--as-kept") == (0, "", "")
    assert len(started) == 2


def test_workers_read_their_file_where_their_parent_can_keep_nothing(
    started: Servers, config: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file")
    err = run("--config", config(MODEL + KEY), "--workers", "2")[2]
    assert "warning: the config cannot be kept in " in err
    assert "--as-kept" not in started[0].command


def test_a_worker_does_not_open_to_everybody_what_was_locked(
    started: Servers, config: Callable[[str], str], no_socket_left: None
) -> None:
    with inherited() as options:
        code, _, err = run("--config", config(MODEL), *options)
    assert code == 1
    assert "without a master key" in err
    assert started == []


def test_a_later_config_gets_the_key_that_was_made_and_must_not_be_open_to_everybody(
    started: Servers, config: Callable[[str], str]
) -> None:
    key = admin_key(data_directory(os.environ)).secret
    automatic = load(Path(config(MODEL + "general_settings: {master_key: auto}\n")), {}).snapshot
    without = load(Path(config(MODEL)), {}).snapshot
    assert automatic is not None
    assert without is not None
    assert _completed("0.0.0.0", False, automatic).access.master_key == key
    with pytest.raises(Refused, match="without a master key"):
        _completed("0.0.0.0", False, without)
    assert _completed("127.0.0.1", False, without).access.master_key is None
    assert _completed("0.0.0.0", True, without).access.is_open_on_purpose


def test_a_worker_says_why_it_cannot_start(started: Servers, config: Callable[[str], str]) -> None:
    code, _, err = run("--config", config("model_list: 7\n"), "--inherited", "900", "901", "902")
    assert code == 1
    assert "model_list" in err


def test_options_come_from_the_environment_too(
    started: Servers, config: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIG_FILE_PATH", config(MODEL))
    monkeypatch.setenv("HOST", "127.0.0.3")
    monkeypatch.setenv("DRAIN_DELAY", "7")
    monkeypatch.setenv("DRAIN_TIMEOUT", "8.5")
    run()
    assert started[0].drain == DrainSettings(delay=7.0, timeout=8.5)
    assert started[0].listeners[0].getsockname()[0] == "127.0.0.3"


def test_an_automatic_key_is_made_at_the_first_start_and_kept(
    started: Servers, config: Callable[[str], str], tmp_path: Path
) -> None:
    first = run("--config", config(MODEL + AUTOMATIC))[1]
    key = (tmp_path / "data" / KEY_FILE).read_text().strip()
    assert key in first
    second = run("--config", config(MODEL + AUTOMATIC))[1]
    assert key not in second
    assert str(tmp_path / "data" / KEY_FILE) in second
    assert len(started) == 2


def test_a_key_of_the_operator_needs_no_data_directory(
    started: Servers, config: Callable[[str], str], tmp_path: Path
) -> None:
    assert run("--config", config(MODEL + KEY))[0] == 0
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text", ["model_list: 7\n", "model_list: [\n"])
def test_a_broken_config_is_said_and_nothing_is_started(
    started: Servers, config: Callable[[str], str], text: str
) -> None:
    path = config(text)
    code, _, err = run("--config", path)
    assert code == 1
    assert "error" in err
    assert path in err
    assert started == []


def test_what_cannot_be_used_ends_the_start_with_one_line(
    started: Servers, config: Callable[[str], str], tmp_path: Path, no_socket_left: None
) -> None:
    (tmp_path / "data").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for text, options, said in (
            (MODEL + AUTOMATIC, (), "cannot keep the admin key"),
            (MODEL, ("--host", "0.0.0.0"), "without a master key"),
            (MODEL, ("--port", port), "cannot listen on"),
        ):
            code, out, err = run("--config", config(text), *options)
            assert (code, out) == (1, "")
            assert err.splitlines()[-1].startswith(f"Error: {said}")
            assert "Traceback" not in err
    assert started == []
