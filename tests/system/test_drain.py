from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from system.process import DEADLINE, Gateway, Reply, read_reply
from system.upstream.script import Gate, event, stream_answer
from system.upstream.server import FakeUpstream

KEY = "sk-drain"
CONFIG = """
model_list:
  - model_name: {name}
    litellm_params: {{model: openai/{name}, api_base: "{base}", api_key: x}}
general_settings: {{master_key: {key}}}
"""
OPEN = "model_list:\n  - model_name: demo/small\n    litellm_params: {model: demo/small}\n"
PROBE = b"GET /health/readiness HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LONG = "--drain-delay", "3600"


def config(upstream: FakeUpstream, name: str = "held", key: str = KEY) -> str:
    return CONFIG.format(base=upstream.base_url, name=name, key=key)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def children(gateway: Gateway) -> set[int]:
    pid = gateway.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # One that nobody has waited for yet is not alive.
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def piece(content: str, reason: str | None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "held", "choices": [choice]})


@pytest.fixture
def gate(upstream: FakeUpstream) -> Gate:
    """Holds a stream of the model ``held`` in its middle."""
    gate = upstream.gate()
    upstream.answers("held", stream_answer(piece("Cle", None), gate, piece("ar", "stop"), event("[DONE]")))
    return gate


@contextlib.contextmanager
def stream(gateway: Gateway, gate: Gate) -> Iterator[socket.socket]:
    """A stream that has begun and is held."""
    body = b'{"model": "held", "messages": [], "stream": true}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
    with gateway.connect() as sock:
        sock.sendall(head % (KEY.encode(), len(body)) + body)
        assert gate.reached.wait(DEADLINE)
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        yield sock


def rest_of(sock: socket.socket) -> bytes:
    """What comes until the stream or the connection ends."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while not data.endswith(b"\r\n0\r\n\r\n") and (piece := sock.recv(1 << 16)):
            data += piece
    return data


def ask(sock: socket.socket) -> Reply:
    sock.sendall(PROBE)
    return read_reply(sock)


def ended(gateway: Gateway) -> int:
    return gateway.process.wait(DEADLINE)


@pytest.mark.requirement("drain.readiness", "drain.stop")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_while_it_drains_it_is_alive_and_not_ready_and_a_stream_goes_on_to_its_end(
    tmp_path: Path, upstream: FakeUpstream, gate: Gate, workers: str
) -> None:
    with Gateway(tmp_path, config(upstream), "--workers", workers, "--drain-delay", "2") as gateway:
        with stream(gateway, gate) as sock:
            gateway.process.send_signal(signal.SIGTERM)
            until(lambda: gateway.get("/health/readiness").status == 503, "readiness did not change")
            with gateway.connect() as probe:
                reply = ask(probe)
                assert (reply.status, reply.json["status"]) == (503, "draining")
                assert reply.header("connection") == "close"
                assert probe.recv(1) == b""
            assert gateway.get("/health/liveliness").status == 200
            assert gateway.get("/v1/models", key=KEY).status == 200
            until(lambda: is_refused(gateway), "it went on accepting")
            gate.open()
            assert b"data: [DONE]" in rest_of(sock)
        assert ended(gateway) == 0


def is_refused(gateway: Gateway) -> bool:
    try:
        gateway.connect().close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.requirement("drain.stop")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_drains_without_the_delay(tmp_path: Path, upstream: FakeUpstream, gate: Gate, workers: str) -> None:
    with Gateway(tmp_path, config(upstream), "--workers", workers, *LONG) as gateway:
        with stream(gateway, gate) as sock:
            gateway.process.send_signal(signal.SIGINT)
            until(lambda: is_refused(gateway), "it went on accepting")
            gate.open()
            assert b"data: [DONE]" in rest_of(sock)
        assert ended(gateway) == 0
        assert "Aborted" not in gateway.stderr


@pytest.mark.requirement("drain.stop")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, upstream: FakeUpstream, gate: Gate, workers: str) -> None:
    gateway = Gateway(tmp_path, config(upstream), "--workers", workers, *LONG)
    with gateway_that_fails(gateway), stream(gateway, gate) as sock:
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: gateway.get("/health/readiness").status == 503, "readiness did not change")
        gateway.process.send_signal(signal.SIGTERM)
        assert b"[DONE]" not in rest_of(sock)
        assert ended(gateway) == 1


@pytest.mark.requirement("drain.stop")
def test_what_does_not_end_in_time_is_ended_with_an_error(tmp_path: Path, upstream: FakeUpstream, gate: Gate) -> None:
    gateway = Gateway(tmp_path, config(upstream), "--drain-timeout", "0.2")
    with gateway_that_fails(gateway), stream(gateway, gate) as sock:
        gateway.process.send_signal(signal.SIGTERM)
        rest = rest_of(sock)
        assert b'"error"' in rest
        assert rest.endswith(b"\r\n0\r\n\r\n")
        assert b"[DONE]" not in rest
        assert ended(gateway) == 1


@contextlib.contextmanager
def gateway_that_fails(gateway: Gateway) -> Iterator[None]:
    """Like entering it, without a demand on its exit code."""
    gateway.__enter__()
    try:
        yield
    finally:
        gateway.stop()
    assert "Traceback" not in gateway.stderr


@pytest.mark.requirement("drain.stop")
def test_a_connection_that_rests_is_served_once_more_while_it_drains(tmp_path: Path) -> None:
    with Gateway(tmp_path, OPEN) as gateway:
        with gateway.connect() as sock:
            assert ask(sock).header("connection") is None
            gateway.process.send_signal(signal.SIGTERM)
            until(lambda: is_refused(gateway), "it went on accepting")
            assert ask(sock).header("connection") == "close"
            assert sock.recv(1) == b""
        assert ended(gateway) == 0


def test_a_hangup_does_not_end_a_single_process(tmp_path: Path) -> None:
    with Gateway(tmp_path, OPEN) as gateway:
        gateway.process.send_signal(signal.SIGUSR2)
        until(lambda: "SIGUSR2" in gateway.stderr, "nothing was said")
        assert gateway.get("/v1/models").status == 200


@pytest.mark.requirement("restart.rolling")
def test_a_restart_takes_up_a_changed_config_while_a_stream_goes_on(
    tmp_path: Path, upstream: FakeUpstream, gate: Gate
) -> None:
    with Gateway(tmp_path, config(upstream), "--workers", "2") as gateway, stream(gateway, gate) as sock:
        until(lambda: "2 workers serve" in gateway.stderr, "the second worker did not start")
        before = children(gateway)
        assert all(os.getsid(pid) == pid for pid in before)
        (tmp_path / "config.yaml").write_text(config(upstream, "renamed"))
        gateway.process.send_signal(signal.SIGUSR2)
        until(lambda: "all workers were replaced" in gateway.stderr, "the workers were not replaced")
        # The idle one of the first two has ended; the other has its stream.
        until(lambda: len(before & children(gateway)) == 1, "the idle worker did not end")
        until(
            lambda: gateway.get("/v1/models", key=KEY).json["data"][0]["id"] == "renamed", "the config is the old one"
        )
        assert gateway.get("/health/readiness").status == 200
        gate.open()
        assert b"data: [DONE]" in rest_of(sock)


@pytest.mark.requirement("restart.broken-config")
@pytest.mark.parametrize(
    ("changed", "said"),
    [("model_list: 7\n", "config.yaml"), (OPEN, "without a master key")],
    ids=["broken", "open to everybody"],
)
def test_a_config_that_cannot_be_served_leaves_the_one_in_force_also_over_a_restart(
    tmp_path: Path, upstream: FakeUpstream, changed: str, said: str
) -> None:
    with Gateway(tmp_path, config(upstream), "--workers", "2", host="0.0.0.0") as gateway:
        until(lambda: "2 workers serve" in gateway.stderr, "the second worker did not start")
        before = children(gateway)
        (tmp_path / "config.yaml").write_text(changed)
        gateway.process.send_signal(signal.SIGUSR2)
        until(lambda: "all workers were replaced" in gateway.stderr, "the workers were not replaced")
        until(lambda: said in gateway.stderr, "the reason was not said")
        until(lambda: not before & children(gateway), "the old workers did not end")
        assert gateway.get("/v1/models").status == 401
        assert gateway.get("/v1/models", key=KEY).json["data"][0]["id"] == "held"


@pytest.mark.requirement("restart.parent-dies")
def test_workers_whose_parent_was_killed_finish_and_end(tmp_path: Path, upstream: FakeUpstream, gate: Gate) -> None:
    gateway = Gateway(tmp_path, config(upstream), "--workers", "2", *LONG)
    with gateway_that_fails(gateway), stream(gateway, gate) as sock:
        workers = children(gateway)
        gateway.process.kill()
        until(lambda: is_refused(gateway), "they went on accepting")
        gate.open()
        assert b"data: [DONE]" in rest_of(sock)
        sock.close()
        until(lambda: not any(map(is_alive, workers)), "they did not end")


@pytest.mark.requirement("start.admin-key")
def test_the_automatic_key_is_told_to_workers_by_no_argument(tmp_path: Path) -> None:
    with Gateway(tmp_path, None, "--workers", "2") as gateway:
        key = (tmp_path / "data" / "admin-key").read_text().strip()
        assert gateway.get("/v1/models", key=key).status == 200
        assert gateway.stdout.count(key) == 2  # the announcement and its curl line
        assert key not in gateway.stderr
        for pid in children(gateway):
            assert key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert key.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
