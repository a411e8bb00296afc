from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from system.process import Gateway, read_reply
from system.upstream.server import FakeUpstream

KEY = "sk-master-canary-41f0"
PATIENCE = 20.0
CONFIG = """
model_list:
  - {{model_name: told, litellm_params: {{model: openai/x, api_key: sk-canary-{text}, mock_response: {text}}}}}
  - {{model_name: demo, litellm_params: {{model: demo/small}}}}
general_settings: {{master_key: {key}}}
pointsman_settings: {{config_header: true{more}}}
"""
CHAT = {"messages": [{"role": "user", "content": "Hello"}]}


def config(text: str, more: str = "") -> str:
    return CONFIG.format(text=text, key=KEY, more=more)


def until(is_so: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Running:
    """A gateway whose config file a test changes."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        gateway.key = KEY

    def change(self, text: str) -> None:
        draft = self.gateway.home / "draft.yaml"
        draft.write_text(text)
        draft.replace(self.gateway.home / "config.yaml")

    def said(self) -> str:
        content: str = self.gateway.post("/v1/chat/completions", {"model": "told", **CHAT}).json["choices"][0][
            "message"
        ]["content"]
        return content

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        reply = self.gateway.post(path, body)
        assert reply.status == 200
        told: dict[str, Any] = reply.json
        return told

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = self.gateway.get("/config/sync/status").json
        return told


@contextmanager
def running(home: Path, text: str, *args: str, **env: str) -> Iterator[Running]:
    with Gateway(home, text, *args, env=env) as gateway:
        yield Running(gateway)


@pytest.mark.requirement("config.reload.change", "config.status", "config.status.header")
def test_a_changed_file_is_taken_up_by_itself(tmp_path: Path) -> None:
    with running(tmp_path, config("one")) as now:
        first = now.gateway.get("/v1/models").header("x-pointsman-config")
        now.change(config("two"))
        until(lambda: now.said() == "two", "the change was not taken up")
        assert now.gateway.get("/v1/models").header("x-pointsman-config") != first
        assert now.gateway.get("/nowhere").header("x-pointsman-config") is not None
        # It serves before it is put on the disk, and counts after that.
        until(lambda: now.status()["reload_count"], "the change was not counted")
        status = now.status()
        assert (status["reload_count"], status["number"], status["running"], status["last_error"]) == (1, 2, True, None)
        assert status["file"]["path"] == str(tmp_path / "config.yaml")
        assert now.gateway.metric("pointsman_config_reloads_total") == 1


@pytest.mark.requirement("config.reload.asked")
def test_without_hot_reload_a_change_waits_until_somebody_asks(tmp_path: Path) -> None:
    with running(tmp_path, config("one"), CONFIG_HOT_RELOAD="false") as now:
        now.change(config("two"))
        assert not now.status()["running"]
        assert now.said() == "one"
        told = now.post("/config/reload")
        assert (told["status"], told["reloaded"]) == ("success", ["config"])
        assert now.said() == "two"
        now.change(config("three"))
        now.gateway.process.send_signal(signal.SIGHUP)
        until(lambda: now.said() == "three", "the signal was not heard")
        assert now.status()["asked_by"] == "SIGHUP"


@pytest.mark.requirement("config.reload.broken")
def test_a_broken_file_changes_nothing_and_is_told_with_file_and_line(tmp_path: Path) -> None:
    with running(tmp_path, config("one")) as now:
        now.change(config("two") + "model_list: 7\n")
        until(lambda: now.status()["last_error"], "nothing was said")
        (error, *_) = now.status()["last_error"]["errors"]
        assert "config.yaml:7:" in error
        assert now.said() == "one"
        assert now.gateway.metric("pointsman_config_broken") == 1
        assert "the config stays as it is" in now.gateway.stderr
        now.change(config("three"))
        until(lambda: now.said() == "three", "the mended file was not taken up")
        until(lambda: not now.gateway.metric("pointsman_config_broken"), "it is still said to be broken")


def test_what_would_be_open_to_everybody_is_refused(tmp_path: Path) -> None:
    with Gateway(tmp_path, config("one"), host="0.0.0.0") as gateway:
        now = Running(gateway)
        now.change("model_list: []\n")
        told = now.post("/config/reload")
        assert told["status"] == "failed"
        assert "without a master key" in told["errors"][0]
        assert gateway.get("/v1/models", key="").status == 401 or gateway.get("/v1/models", key="no").status == 401


@pytest.mark.requirement("config.swap.carried")
def test_a_stream_goes_on_over_a_change_that_removes_its_model(tmp_path: Path, upstream: FakeUpstream) -> None:
    with running(tmp_path, config("one")) as now, now.gateway.connect() as sock:
        body = json.dumps({"model": "demo", "stream": True, **CHAT}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\n"
        sock.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        before = sock.recv(4096)
        now.change(config("two").replace("model_name: demo", "model_name: other"))
        assert now.post("/config/reload")["status"] == "success"
        assert now.gateway.post("/v1/chat/completions", {"model": "demo", **CHAT}).status == 404
        rest = before
        while b"\r\n0\r\n\r\n" not in rest:
            piece = sock.recv(65536)
            assert piece
            rest += piece
        assert b"data: [DONE]" in rest
        # The connection is still good for another request.
        sock.sendall(f"GET /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        assert read_reply(sock).status == 200


@pytest.mark.requirement("config.reload.workers", "config.reload.rollback")
def test_all_workers_change_together(tmp_path: Path) -> None:
    with running(tmp_path, config("one"), "--workers", "2", CONFIG_HOT_RELOAD="false") as now:
        until(lambda: len(now.status()["workers"]) == 2, "the workers do not know of each other")
        now.change(config("two"))
        told = now.post("/config/reload", force_sync=True)
        assert told["status"] == "success"
        assert [one["hash"] for one in told["workers"]] == [told["hash"]] * 2
        assert {now.said() for _ in range(12)} == {"two"}
        back = now.post("/config/rollback")
        assert [one["hash"] for one in back["workers"]] == [back["hash"]] * 2
        assert {now.said() for _ in range(12)} == {"one"}
        assert now.status()["is_held"]
        now.change(config("three"))
        now.gateway.process.send_signal(signal.SIGHUP)
        until(lambda: {one["number"] for one in now.status()["workers"]} == {4}, "not all workers heard the signal")
        assert {now.said() for _ in range(12)} == {"three"}


@pytest.mark.requirement("config.kept.workers")
@pytest.mark.parametrize(
    ("hot_reload", "changed"), [("true", "model_list: 7\n"), ("false", config("two"))], ids=["broken", "not asked for"]
)
def test_workers_that_die_are_replaced_by_such_that_serve_what_is_in_force(
    tmp_path: Path, hot_reload: str, changed: str
) -> None:
    with running(tmp_path, config("zero"), "--workers", "2", CONFIG_HOT_RELOAD=hot_reload) as now:
        until(lambda: len(now.status()["workers"]) == 2, "the workers do not know of each other")
        now.change(config("one"))
        in_force = now.post("/config/reload")["hash"]
        now.change(changed)
        if hot_reload == "true":
            until(lambda: now.status()["last_error"] is not None, "nobody has seen that the file is broken")
        first = {one["pid"] for one in now.status()["workers"]}
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        until(
            lambda: len({one["pid"] for one in now.status()["workers"]} - first) == 2, "the workers were not replaced"
        )
        assert [one["hash"] for one in now.status()["workers"]] == [in_force] * 2
        assert {now.said() for _ in range(12)} == {"one"}


@pytest.mark.requirement("config.reload.canary")
def test_a_canary_check_refuses_what_does_not_answer(tmp_path: Path) -> None:
    with running(tmp_path, config("one")) as now:
        now.change(config("one", ", canary_check: true") + "")
        assert now.post("/config/reload")["status"] == "success"
        dead = "model: openai/x, api_base: 'http://127.0.0.1:1/v1', api_key: k"
        now.change(config("one", ", canary_check: true").replace("model: demo/small", dead))
        told = now.post("/config/reload")
        assert told["status"] == "failed"
        assert "canary check" in told["errors"][0]
        assert now.gateway.post("/v1/chat/completions", {"model": "demo", **CHAT}).status == 200


@pytest.mark.requirement("config.reload.master", "config.swap.secrets")
def test_only_the_master_may_ask_and_no_secret_is_told(tmp_path: Path) -> None:
    with running(tmp_path, config("one")) as now:
        now.change(config("two"))
        texts = [json.dumps(now.post("/config/reload")), json.dumps(now.status()), now.gateway.stderr]
        assert not any("sk-canary" in text or KEY in text for text in texts)
        for path in ("/config/reload", "/config/rollback", "/router/reload"):
            assert now.gateway.post(path, {}, key="sk-other").status == 401
        assert now.gateway.get("/config/sync/status", key="sk-other").status == 401


@pytest.mark.requirement("router.reload")
def test_routers_are_reloaded_in_the_shape_of_the_seed(tmp_path: Path) -> None:
    with running(tmp_path, config("one")) as now:
        assert now.post("/router/reload", strategy=None, force_sync=True) == {
            "status": "success",
            "reloaded": [],
            "errors": [],
        }
        assert now.post("/router/reload", strategy="llmrouter-knn")["status"] == "failed"
