"""Keys, limits and spend in a gateway as a process, on each store, with workers, and with nothing there."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from contract.databases import new_database, postgres_or_skip
from contract.postgres import PostgresServer
from contract.redis_server import RedisServer, redis_or_skip
from openai import APIStatusError, AsyncOpenAI, AuthenticationError, OpenAI, PermissionDeniedError, RateLimitError
from system.process import Gateway, generated_key, pointsman

MASTER = "sk-master-canary-77aa"
SALT = {"POINTSMAN_SALT_KEY": "a-salt-for-tests-only"}
CONFIG = f"""
model_list:
  - model_name: house
    litellm_params: {{model: demo/small, input_cost_per_token: 0.001, output_cost_per_token: 0.002}}
general_settings: {{master_key: {MASTER}}}
"""
PATIENCE = 20.0
PROMPT: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    made = postgres_or_skip()
    yield made
    made.close()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    made = redis_or_skip()
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def variables(request: pytest.FixtureRequest) -> dict[str, str]:
    """Those with which a gateway keeps its keys in one kind of store or the other."""
    if request.param == "sqlite":
        return {}
    server: PostgresServer = request.getfixturevalue("postgres")
    return {"DATABASE_URL": asyncio.run(new_database(server)), **SALT}


def make_key(gateway: Gateway, **asked: Any) -> str:
    return generated_key(gateway, MASTER, asked)


def client(gateway: Gateway, key: str) -> OpenAI:
    return OpenAI(base_url=f"{gateway.base_url}/v1", api_key=key, max_retries=0, timeout=PATIENCE)


def ask(gateway: Gateway, key: str, model: str = "house") -> str | None:
    """The error that a call with the key comes to, if any; each call is on a connection of its own."""
    with client(gateway, key) as openai:
        try:
            openai.chat.completions.create(model=model, messages=PROMPT, max_tokens=5)
        except APIStatusError as error:
            return type(error).__name__
    return None


async def all_at_once(gateways: Sequence[Gateway], key: str, count: int) -> list[str | None]:
    """As :func:`ask`, so often of each at the same time."""

    async def one(openai: AsyncOpenAI) -> str | None:
        try:
            await openai.chat.completions.create(model="house", messages=PROMPT, max_tokens=5)
        except APIStatusError as error:
            return type(error).__name__
        return None

    async with AsyncExitStack() as stack:
        clients = [
            AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=key, max_retries=0, timeout=PATIENCE)
            for gateway in gateways
        ]
        for openai in clients:
            await stack.enter_async_context(openai)
        return await asyncio.gather(*(one(openai) for openai in clients for _ in range(count)))


def until(is_so: Callable[[], bool], patience: float = PATIENCE) -> float:
    """Seconds until it was so."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < patience
        time.sleep(0.02)
    return time.monotonic() - began


def spent(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """The rows of the ledger, when there are as many."""
    rows: list[dict[str, Any]] = []

    def is_written() -> bool:
        rows[:] = gateway.get("/spend/logs", key=MASTER).json
        return len(rows) >= count

    until(is_written)
    return rows


@pytest.mark.requirement("stores.serving")
def test_a_key_is_made_used_counted_and_blocked(tmp_path: Path, variables: dict[str, str]) -> None:
    with Gateway(tmp_path, CONFIG, env=variables) as gateway:
        key = make_key(gateway, rpm_limit=3, max_budget=10)
        assert gateway.get("/health/readiness").json["db"] == "connected"
        assert [ask(gateway, key) for _ in range(4)] == [None, None, None, RateLimitError.__name__]
        assert [row["model_group"] for row in spent(gateway, 3)] == ["house"] * 3
        gateway.key = MASTER
        assert gateway.post("/key/block", {"key": key}).status == 200
        assert ask(gateway, key) == PermissionDeniedError.__name__
        assert ask(gateway, "sk-nobody-has-made-this") == AuthenticationError.__name__
        assert gateway.metric("pointsman_store_up") == 1
        assert gateway.metric("pointsman_spend_events_lost_total") == 0


@pytest.mark.requirement("stores.serving")
def test_what_was_spent_is_known_after_a_restart(tmp_path: Path, variables: dict[str, str]) -> None:
    with Gateway(tmp_path, CONFIG, env=variables) as gateway:
        key = make_key(gateway, max_budget=0.15, key_alias="mine")
        answers = [ask(gateway, key) for _ in range(20)]
        count = answers.count(None)
        assert 0 < count < 20
        assert answers == [None] * count + [RateLimitError.__name__] * (20 - count)
        gateway.key = MASTER
        cost = sum(row["spend"] for row in spent(gateway, count))
        assert gateway.metric("litellm_remaining_api_key_budget_metric") == pytest.approx(0.15 - cost)
        done = pointsman(tmp_path, "reconcile", "--url", gateway.base_url, "--admin-key", MASTER)
        assert done.stdout.startswith("keys: 1 budgets, 0 set"), done
    with Gateway(tmp_path, CONFIG, env=variables) as gateway:
        assert ask(gateway, key) == RateLimitError.__name__
        assert len(spent(gateway, count)) == count


@pytest.mark.requirement("stores.workers", "counters.workers_share")
def test_workers_know_each_others_keys_and_count_together(tmp_path: Path, variables: dict[str, str]) -> None:
    with Gateway(tmp_path, CONFIG, "--workers", "2", env=variables) as gateway:
        key = make_key(gateway, rpm_limit=10)
        other = make_key(gateway)
        outcomes = [ask(gateway, key) for _ in range(20)]
        assert outcomes.count(None) == 10
        assert set(outcomes) == {None, RateLimitError.__name__}
        assert [ask(gateway, other) for _ in range(8)] == [None] * 8
        assert gateway.post("/key/block", {"key": other}, key=MASTER).status == 200
        in_a_row = 0

        def is_refused_by_all() -> bool:
            nonlocal in_a_row
            in_a_row = in_a_row + 1 if ask(gateway, other) == PermissionDeniedError.__name__ else 0
            return in_a_row == 8

        until(is_refused_by_all)
        assert len(spent(gateway, 18)) >= 18


@pytest.mark.requirement("stores.redis")
def test_two_gateways_count_together_in_redis(tmp_path: Path, redis: RedisServer, postgres: PostgresServer) -> None:
    env = {"DATABASE_URL": asyncio.run(new_database(postgres)), **SALT}
    config = CONFIG + f"router_settings: {{redis_host: 127.0.0.1, redis_port: {redis.port}}}\n"
    with (
        Gateway(tmp_path / "a", config, env=env) as first,
        Gateway(tmp_path / "b", config, env=env) as second,
    ):
        key = make_key(first, rpm_limit=6)
        outcomes = [ask(gateway, key) for _ in range(6) for gateway in (first, second)]
        assert outcomes.count(None) == 6
        redis.kill()
        assert ask(first, make_key(first)) is None


@pytest.mark.requirement("cache.redis")
def test_two_gateways_give_each_others_answers_to_the_same_caller(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    env = {"DATABASE_URL": asyncio.run(new_database(postgres)), **SALT}
    params = f"{{type: redis, host: 127.0.0.1, port: {redis.port}, namespace: ours}}"
    config = CONFIG + f"litellm_settings: {{cache: true, cache_params: {params}}}\n"

    def answer(gateway: Gateway, key: str, *, stream: bool = False) -> tuple[str, str | None]:
        """The id that the provider gave, and the key of the cache it came from."""
        with client(gateway, key) as openai:
            raw = openai.chat.completions.with_raw_response
            asked: Any = {"model": "house", "messages": PROMPT, "max_tokens": 5}
            if stream:
                told = raw.create(**asked, stream=True)
                # To the end: what a client leaves half way is not kept.
                [streamed] = {chunk.id for chunk in told.parse()}
                return streamed, told.headers.get("x-litellm-cache-key")
            whole = raw.create(**asked)
            return whole.parse().id, whole.headers.get("x-litellm-cache-key")

    def is_shared(*, stream: bool) -> bool:
        """An answer may be given before it is kept, and is given anew where Redis was slow."""
        (one, key), (another, same) = [answer(gateway, mine, stream=stream) for gateway in (first, second)]
        return one == another and key is not None and key == same

    with (
        Gateway(tmp_path / "a", config, env=env) as first,
        Gateway(tmp_path / "b", config, env=env) as second,
    ):
        mine, other = make_key(first), make_key(first)
        for stream in (False, True):
            assert answer(first, mine, stream=stream)[1] is None
            until(partial(is_shared, stream=stream))
            assert answer(second, other, stream=stream)[0] != answer(second, mine, stream=stream)[0]
        second.key = MASTER
        assert second.metric("litellm_cache_hits_metric_total") >= 4
        assert b"pointsman:answer:ours:" in redis.run("KEYS", "pointsman:answer:*")
        redis.kill()
        for _ in range(5):
            assert answer(second, mine)[1] is None
        redis.start()
        until(lambda: answer(second, mine)[1] is not None)


@pytest.mark.requirement("stores.redis")
def test_a_budget_in_redis_is_not_passed_by_many_first_calls_at_its_edge(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    env = {"DATABASE_URL": asyncio.run(new_database(postgres)), **SALT}
    config = CONFIG + f"router_settings: {{redis_host: 127.0.0.1, redis_port: {redis.port}}}\n"
    with (
        Gateway(tmp_path / "a", config, env=env) as first,
        Gateway(tmp_path / "b", config, env=env) as second,
    ):
        key = make_key(first, max_budget=1)
        outcomes = asyncio.run(all_at_once((first, second), key, 100))
        served = outcomes.count(None)
        assert 0 < served < 200
        assert set(outcomes) == {None, RateLimitError.__name__}
        assert 0 < sum(row["spend"] for row in spent(first, served)) <= 1
        for gateway in (first, second):
            done = pointsman(gateway.home, "reconcile", "--url", gateway.base_url, "--admin-key", MASTER)
            assert done.stdout.startswith("keys: 1 budgets, 0 set"), done


@pytest.mark.requirement("stores.cold-start")
def test_a_start_without_its_stores_serves_and_takes_them_up_when_they_are_there(tmp_path: Path) -> None:
    server = postgres_or_skip()
    url = asyncio.run(new_database(server))
    server.kill()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        env = {"DATABASE_URL": url, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(closed.getsockname()[1]), **SALT}
        try:
            with Gateway(tmp_path, CONFIG, env=env) as gateway:
                assert gateway.get("/health/readiness").json == {"status": "healthy", "db": "disconnected"}
                assert ask(gateway, MASTER) is None
                refused = gateway.post("/key/generate", {}, key=MASTER)
                assert (refused.status, refused.error["code"]) == (503, "store_unavailable")
                assert refused.header("retry-after") == "1"
                assert gateway.get("/v1/models", key="sk-not-known-yet").status == 503
                server.start()
                until(lambda: gateway.get("/health/readiness").json["db"] == "connected")
                assert ask(gateway, make_key(gateway, rpm_limit=100)) is None
        finally:
            server.close()


def test_a_database_that_others_share_asks_for_a_salt(tmp_path: Path) -> None:
    done = pointsman(tmp_path, "serve", "--port", "0", env={"DATABASE_URL": "postgresql://127.0.0.1:1/none"})
    assert done.returncode == 1
    assert "set POINTSMAN_SALT_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_running_gateway_keeps_the_stores_that_it_has_and_says_so(tmp_path: Path) -> None:
    with Gateway(tmp_path, CONFIG) as gateway:
        key = make_key(gateway)
        other = CONFIG + "router_settings: {redis_host: 127.0.0.1, redis_port: 1}\n"
        (tmp_path / "config.yaml").write_text(other)
        told = gateway.post("/config/reload", {}, key=MASTER).json
        assert any("restart it to use them" in note for note in told["notes"]), told
        assert ask(gateway, key) is None


@pytest.mark.requirement("access.nothing-without-keys")
def test_a_gateway_without_keys_makes_no_database(tmp_path: Path) -> None:
    with Gateway(tmp_path, CONFIG) as gateway:
        assert gateway.get("/health/readiness").json == {"status": "healthy", "db": "Not connected"}
        assert ask(gateway, MASTER) is None
        assert ask(gateway, "sk-nobody-has-made-this") == AuthenticationError.__name__
        maps = Path(f"/proc/{gateway.process.pid}/maps").read_text()
    assert "sqlite" not in maps
    assert "sqlalchemy" not in maps
    assert not (tmp_path / "data" / "pointsman.db").exists()


def test_what_was_spent_outlives_a_process_that_is_killed(tmp_path: Path, variables: dict[str, str]) -> None:
    gateway = Gateway(tmp_path, CONFIG, env=variables)
    with suppress(AssertionError), gateway:
        key = make_key(gateway, max_budget=10)
        with client(gateway, key) as openai:
            for _ in range(20):
                openai.chat.completions.create(model="house", messages=PROMPT, max_tokens=5)
        gateway.process.kill()
        gateway.process.wait(PATIENCE)
        raise AssertionError("it was not to leave cleanly")
    with Gateway(tmp_path, CONFIG, env=variables) as again:
        assert len(spent(again, 20)) == 20


@pytest.mark.requirement("budgets.reconcile")
def test_what_a_worker_that_is_killed_has_spent_stays_spent(tmp_path: Path, variables: dict[str, str]) -> None:
    with Gateway(tmp_path, CONFIG, "--workers", "2", env=variables) as gateway:
        key = make_key(gateway, max_budget=10)
        assert asyncio.run(all_at_once([gateway], key, 40)) == [None] * 40
        children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        done = pointsman(tmp_path, "reconcile", "--url", gateway.base_url, "--admin-key", MASTER)
        assert done.returncode == 0, done
        rows = spent(gateway, 40)
        assert len(rows) == 40
        again = pointsman(tmp_path, "reconcile", "--url", gateway.base_url, "--admin-key", MASTER)
        assert again.stdout.startswith("keys: 1 budgets, 0 set"), again


def test_the_money_of_a_model_that_was_spent_by_its_alias_is_spent_after_a_restart(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    config = CONFIG + "router_settings: {model_group_alias: {nick: house}}\n"
    with Gateway(tmp_path, config, env=variables) as gateway:
        key = make_key(gateway, model_max_budget={"house": {"max_budget": 0.1}})
        count = 0
        while ask(gateway, key, "nick") is None:
            count += 1
        assert 0 < count < 10
        spent(gateway, count)
        done = pointsman(tmp_path, "reconcile", "--url", gateway.base_url, "--admin-key", MASTER)
        assert done.stdout.startswith("keys: 1 budgets, 0 set"), done
    with Gateway(tmp_path, config, env=variables) as again:
        assert ask(again, key, "nick") == ask(again, key) == RateLimitError.__name__


@pytest.mark.parametrize("statement", [None, "CREATE TABLE keys (x)"])
def test_a_file_that_is_no_database_of_ours_is_told_of_and_not_waited_for(
    tmp_path: Path, statement: str | None
) -> None:
    file = tmp_path / "data" / "pointsman.db"
    file.parent.mkdir()
    if statement is None:
        file.write_text("this is no database, as anybody can see" * 20)
    else:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(statement)
    done = pointsman(tmp_path, "serve", "--port", "0")
    assert done.returncode == 1
    assert str(file) in done.stderr
    assert "waiting does not help" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.requirement("stores.serving")
def test_gateways_that_count_apart_what_they_share_say_so(tmp_path: Path, variables: dict[str, str]) -> None:
    said = "each of them counts limits and budgets for itself"
    homes = (tmp_path, tmp_path) if not variables else (tmp_path / "a", tmp_path / "b")
    with Gateway(homes[0], CONFIG, "--workers", "2", env=variables) as first:
        make_key(first)
    with Gateway(homes[0], CONFIG, "--workers", "2", env=variables) as first:
        assert said not in first.stderr
        before = first.stderr
        with Gateway(homes[1], CONFIG, env=variables) as second:
            until(lambda: said in second.stderr)
        assert said not in before
