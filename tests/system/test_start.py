from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from openai import OpenAI
from system.process import Gateway, environment, pointsman
from system.upstream.server import FakeUpstream

KEY = re.compile(r"sk-[\w-]{20,}")
TESTS = Path(__file__).parents[1]
OPEN = "model_list:\n  - model_name: demo/small\n    litellm_params: {model: demo/small}\n"
LITELLM = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_base: os.environ/FAKE_BASE
      api_key: os.environ/FAKE_KEY
      rpm: 600
  - model_name: gpt-4o
    litellm_params:
      model: azure-like-gpt-4o
      custom_llm_provider: openai
      api_base: os.environ/FAKE_BASE
      api_key: os.environ/FAKE_KEY
      rpm: 60
  - model_name: claude
    litellm_params:
      model: openai/claude-sonnet
      api_base: os.environ/FAKE_BASE
      api_key: os.environ/FAKE_KEY
      max_tokens: 4096
  - model_name: embeddings
    litellm_params:
      model: openai/text-embedding-3-small
      api_base: os.environ/FAKE_BASE
      api_key: os.environ/FAKE_KEY
    model_info: {mode: embedding}
  - model_name: vendor/*
    litellm_params: {model: openai/vendor-*, api_base: os.environ/FAKE_BASE, api_key: os.environ/FAKE_KEY}
  - model_name: "*"
    litellm_params: {model: openai/*, api_base: os.environ/FAKE_BASE, api_key: os.environ/FAKE_KEY}
router_settings:
  routing_strategy: simple-shuffle
  num_retries: 2
  timeout: 30
  model_group_alias:
    gpt-4: gpt-4o
    secret-alias: {model: claude, hidden: true}
litellm_settings:
  drop_params: true
  set_verbose: false
  success_callback: ["prometheus"]
  cache: true
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/DATABASE_URL
  completion_model: gpt-4o
environment_variables:
  FAKE_KEY: from-the-document
"""


@pytest.mark.requirement("start.zero-config")
def test_without_a_config_the_printed_curl_line_is_answered_by_a_demo(tmp_path: Path) -> None:
    with Gateway(tmp_path, host=None, env={"PYTHONWARNINGS": "error"}) as gateway:
        lines = gateway.stdout.replace("\\\n", "")
        words = shlex.split(next(line for line in lines.splitlines() if line.strip().startswith("curl ")))
        headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
        path = words[1].removeprefix(gateway.base_url)
        reply = gateway.post(path, words[words.index("-d") + 1].encode(), headers)
        assert reply.status == 200
        assert "demo" in reply.json["choices"][0]["message"]["content"].lower()
        assert reply.json["usage"]["total_tokens"] > 0


@pytest.mark.requirement("start.zero-config")
def test_the_demo_models_answer_stream_embed_and_report_usage(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        key = (tmp_path / "data" / "admin-key").read_text().strip()
        with OpenAI(base_url=gateway.base_url, api_key=key, max_retries=0) as client:
            names = {model.id for model in client.models.list()}
            assert {"demo/small", "demo/medium", "demo/large"} <= names
            for name in ("demo/small", "demo/medium", "demo/large"):
                with client.chat.completions.create(
                    model=name,
                    messages=[{"role": "user", "content": "Hello"}],
                    stream=True,
                    stream_options={"include_usage": True},
                ) as stream:
                    chunks = list(stream)
                assert chunks[0].model == name
                assert chunks[-1].usage is not None
            assert client.embeddings.create(model="demo/embed", input=["a", "b"]).data[1].embedding
            assert client.responses.create(model="demo/small", input="Hello").output_text


@pytest.mark.requirement("start.zero-config")
def test_providers_are_found_by_their_keys_in_the_environment(tmp_path: Path) -> None:
    with Gateway(tmp_path, env={"OPENAI_API_KEY": "sk-Canary-discovered", "GROQ_API_KEY": "gsk_Canary"}) as gateway:
        gateway.key = (tmp_path / "data" / "admin-key").read_text().strip()
        names = {model["id"] for model in gateway.get("/v1/models").json["data"]}
        assert "openai/gpt-4o" in names
        assert any(name.startswith("groq/") for name in names)
        assert "Canary" not in gateway.stdout + gateway.stderr


@pytest.mark.requirement("start.admin-key")
def test_the_admin_key_is_made_and_shown_once_and_kept_private(tmp_path: Path) -> None:
    file = tmp_path / "data" / "admin-key"
    with Gateway(tmp_path) as gateway:
        key = file.read_text().strip()
        assert set(KEY.findall(gateway.stdout)) == {key}
        assert key not in gateway.stderr
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert gateway.get("/v1/models", key=key).status == 200
        assert gateway.get("/v1/models", key="sk-other").status == 401
    with Gateway(tmp_path) as again:
        assert not KEY.search(again.stdout)
        assert str(file) in again.stdout
        assert again.get("/v1/models", key=key).status == 200


@pytest.mark.requirement("start.litellm-config")
def test_a_litellm_config_runs_unchanged(tmp_path: Path, upstream: FakeUpstream) -> None:
    env = {"FAKE_BASE": upstream.base_url, "LITELLM_MASTER_KEY": "sk-1234"}
    with Gateway(tmp_path, LITELLM, env=env) as gateway, OpenAI(base_url=gateway.base_url, api_key="sk-1234") as client:
        gateway.key = "sk-1234"
        hello = [{"role": "user", "content": "Hello"}]
        listed = {model.id for model in client.models.list()}
        assert {"gpt-4o", "claude", "embeddings", "gpt-4"} <= listed
        assert "secret-alias" not in listed
        for name in ("gpt-4o", "claude", "gpt-4", "secret-alias", "vendor/one", "anything-else"):
            reply = gateway.post("/chat/completions", {"model": name, "messages": hello})
            assert reply.json["model"] == name
        assert upstream.request("vendor-one").header("authorization") == "Bearer from-the-document"
        assert upstream.request("anything-else").json["model"] == "anything-else"
        assert upstream.request("claude-sonnet").json["max_tokens"] == 4096
        assert client.embeddings.create(model="embeddings", input="x").data[0].embedding
        # What is not honoured yet is named, once each.
        for path in ("general_settings.database_url", "litellm_settings.set_verbose"):
            assert gateway.stderr.count(path) == 1
        assert "litellm_settings.cache" not in gateway.stderr


@pytest.mark.requirement("start.refusals")
def test_a_broken_config_is_refused_with_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("model_list:\n  - model_name: 7\n    litellm_params: {}\n  - litellm_params: {model: openai/x}\n")
    ended = pointsman(tmp_path, "serve", "--config", str(file), "--port", "0")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if "config.yaml:" in line]) >= 2


@pytest.mark.requirement("check.all-problems")
def test_check_prints_all_problems_and_exits_with_1(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("model_list:\n  - model_name: 7\n    litellm_params: {}\n  - litellm_params: {model: openai/x}\n")
    ended = pointsman(tmp_path, "check", str(file))
    assert ended.returncode == 1
    assert len(re.findall(r"config\.yaml:\d+:\d+", ended.stdout)) >= 2


@pytest.mark.requirement("keys.open-loopback")
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_a_key_only_loopback_is_listened_on(tmp_path: Path, host: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(OPEN)
    ended = pointsman(tmp_path, "serve", "--config", str(file), "--host", host, "--port", "0")
    assert ended.returncode == 1
    assert "master key" in ended.stderr
    assert "--allow-unauthenticated" in ended.stderr


@pytest.mark.requirement("keys.open-loopback")
def test_listening_everywhere_without_a_key_can_be_insisted_on(tmp_path: Path) -> None:
    with Gateway(tmp_path, OPEN, "--allow-unauthenticated", host="0.0.0.0") as gateway:
        assert gateway.get("/v1/models").status == 200


@pytest.mark.requirement("keys.open-loopback")
def test_without_a_key_foreign_names_are_refused(tmp_path: Path) -> None:
    with Gateway(tmp_path, OPEN, host=None) as gateway:
        assert gateway.get("/v1/models").status == 200
        assert gateway.get("/v1/models", {"host": "localhost"}).status == 200
        for headers in (
            {"host": "evil.example"},
            {"host": "127.0.0.1.evil.example"},
            {"host": "10.0.0.1:4000"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
        ):
            reply = gateway.get("/v1/models", headers)
            assert reply.status == 421, headers
            assert reply.error["code"] == "misdirected_request"
        listening = Path(f"/proc/{gateway.process.pid}/net/tcp").read_text()
        assert f"0100007F:{gateway.port:04X}" in listening
        assert f"00000000:{gateway.port:04X}" not in listening


@pytest.mark.requirement("metrics")
def test_metrics_can_be_opened(tmp_path: Path) -> None:
    config = OPEN + "general_settings: {master_key: sk-1}\n"
    config += "litellm_settings: {require_auth_for_metrics_endpoint: false}\n"
    with Gateway(tmp_path, config) as gateway:
        assert gateway.get("/metrics").status == 200
        assert gateway.get("/v1/models").status == 401


@pytest.mark.requirement("keys.headers")
@pytest.mark.parametrize("name", ["LITELLM_MASTER_KEY", "POINTSMAN_MASTER_KEY"])
def test_the_master_key_may_come_from_the_environment(tmp_path: Path, name: str) -> None:
    with Gateway(tmp_path, OPEN, env={name: "sk-from-the-environment"}) as gateway:
        assert gateway.get("/v1/models").status == 401
        assert gateway.get("/v1/models", key="sk-from-the-environment").status == 200
        assert "sk-from" not in gateway.stdout + gateway.stderr


@pytest.mark.requirement("start.refusals")
def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = pointsman(tmp_path, "serve", "--host", "127.0.0.1", "--port", port)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_two_workers_serve_and_stop_together(tmp_path: Path) -> None:
    with Gateway(tmp_path, OPEN, "--workers", "2") as gateway:
        assert [gateway.get("/v1/models").status for _ in range(10)] == [200] * 10


OFFLINE = """
import fcntl, pathlib, socket, struct, sys
from system.process import Gateway
with socket.socket() as probe:  # a new network namespace has its loopback switched off
    fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))
home = pathlib.Path(sys.argv[1])
with Gateway(home, env={"OPENAI_API_KEY": "sk-x"}) as gateway:
    gateway.key = (home / "data" / "admin-key").read_text().strip()
    body = {"model": "demo/small", "messages": [{"role": "user", "content": "Hello"}]}
    assert gateway.post("/v1/chat/completions", body).status == 200
print("served")
"""
WATCHED = """
import sys
def watch(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname") and args[0] not in (None, "127.0.0.1"):
        raise SystemExit(f"looked up {args[0]}")
    if event == "socket.connect" and not str(args[1]).startswith("('127."):
        raise SystemExit(f"connected to {args[1]}")
    if event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"):
        raise SystemExit(f"started {args[0]}")
sys.addaudithook(watch)
import pointsman.cli, pointsman.app
from pointsman import config
config.load(None, {"OPENAI_API_KEY": "sk-x"})
heavy = {"torch", "sklearn", "numpy", "litellm", "httpx", "requests", "fastapi", "pydantic", "openai"}
print(sorted(heavy & sys.modules.keys()))
"""


@pytest.mark.requirement("start.offline")
def test_it_starts_and_serves_where_there_is_no_network(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are not permitted here")
    ended = subprocess.run(
        [unshare, "-rn", sys.executable, "-c", OFFLINE, str(tmp_path)],
        env=environment(tmp_path, {"PYTHONPATH": str(TESTS)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "served\n"), ended.stderr


@pytest.mark.requirement("start.offline")
def test_importing_looks_nothing_up_and_pulls_in_nothing_heavy(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", WATCHED],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr


@pytest.mark.requirement("start.refusals")
def test_the_data_directory_says_so_when_it_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the way")
    ended = pointsman(tmp_path, "serve", "--port", "0")
    assert ended.returncode == 1
    assert "POINTSMAN_DATA_DIR" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert json.dumps(os.environ.get("HOME", "")) not in ended.stdout
