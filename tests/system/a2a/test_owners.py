"""Whoever asks about a task of somebody else hears what he would of a task that never was."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

import pytest
from system.a2a.asking import Asker, Binding, Version, as_key, forgetting
from system.process import Gateway

VERSIONS: tuple[Version, ...] = ("1.0", "0.3")
BINDINGS: tuple[Binding, ...] = ("jsonrpc", "rest")
AGENTS = ("modern-jsonrpc", "legacy-jsonrpc")
ABOUT_A_TASK = ("send", "stream", "get", "cancel", "subscribe", "set_push", "get_push", "list_push", "delete_push")
NOT_FOUND = {-32001, "TASK_NOT_FOUND"}


@pytest.fixture(scope="module")
def keys(between: Gateway) -> tuple[str, str]:
    """Of the owner, and of somebody else."""
    return as_key(between), as_key(between)


@pytest.fixture(scope="module")
def owned(between: Gateway, keys: tuple[str, str]) -> Mapping[str, tuple[str, str]]:
    """By agent: a task that waits for its owner, and its context; it has a webhook."""
    found = {}
    for agent in AGENTS:
        asker = Asker(between, agent, key=keys[0])
        task = asker.ask("send", what="tck-input-required").task
        assert asker.ask("set_push", task=task["id"]).code is None
        found[agent] = (task["id"], task["contextId"])
    return found


@pytest.fixture(params=BINDINGS)
def binding(request: pytest.FixtureRequest) -> Binding:
    found: Binding = request.param
    return found


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> Version:
    found: Version = request.param
    return found


@pytest.fixture(params=AGENTS)
def agent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stranger(between: Gateway, keys: tuple[str, str], agent: str, version: Version, binding: Binding) -> Asker:
    return Asker(between, agent, version, binding, keys[1])


@pytest.mark.requirement("a2a.owners")
@pytest.mark.parametrize("operation", ABOUT_A_TASK)
def test_a_task_of_somebody_else_looks_like_one_that_never_was(
    stranger: Asker, owned: Mapping[str, tuple[str, str]], operation: str
) -> None:
    task, never = owned[stranger.agent][0], str(uuid4())
    foreign, unknown = stranger.ask(operation, task=task), stranger.ask(operation, task=never)
    assert foreign.code in NOT_FOUND or (stranger.version, stranger.binding) == ("0.3", "rest")
    assert foreign.reply.status == unknown.reply.status
    assert foreign.reply.status == 200 if stranger.binding == "jsonrpc" else foreign.reply.status >= 400
    assert forgetting(foreign.body, task) == forgetting(unknown.body, never)


@pytest.mark.requirement("a2a.owners")
@pytest.mark.parametrize("operation", ["send", "stream"])
def test_a_context_of_somebody_else_cannot_be_joined(
    stranger: Asker, owned: Mapping[str, tuple[str, str]], operation: str
) -> None:
    refused = stranger.ask(operation, context=owned[stranger.agent][1])
    assert refused.code in NOT_FOUND or refused.reply.status == 404, refused.body


@pytest.mark.requirement("a2a.owners")
@pytest.mark.parametrize(("version", "binding"), [("1.0", "jsonrpc"), ("1.0", "rest"), ("0.3", "jsonrpc")])
def test_a_task_of_somebody_else_cannot_be_referred_to(stranger: Asker, owned: Mapping[str, tuple[str, str]]) -> None:
    # REST 0.3 has no words for it.
    refused = stranger.ask("send", reference=owned[stranger.agent][0])
    assert refused.code in NOT_FOUND, refused.body


def spelled() -> dict[str, tuple[str, str]]:
    """Ways to name a task that agents understand: methods and their parameters, with ``TASK`` and ``CONTEXT``."""
    begun = '{"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]'
    own = '"taskId": "00000000-0000-4000-8000-000000000000"'
    config = '"id": "mine", "url": "http://127.0.0.1:9/hook"'
    return {
        "snake": ("SendMessage", f'{{"message": {begun}, "task_id": "TASK"}}}}'),
        "context": ("SendMessage", f'{{"message": {begun}, "context_id": "CONTEXT"}}}}'),
        "references": ("SendMessage", f'{{"message": {begun}, "reference_task_ids": ["TASK"]}}}}'),
        "both": ("SendMessage", f'{{"message": {begun}, {own}, "task_id": "TASK"}}}}'),
        "twice": ("SendMessage", f'{{"message": {begun}, {own}, "taskId": "TASK"}}}}'),
        "twice, other way": ("SendMessage", f'{{"message": {begun}, "taskId": "TASK", {own}}}}}'),
        "escaped": ("SendMessage", f'{{"message": {begun}, "\\u0074askId": "TASK"}}}}'),
        "two messages": ("SendMessage", f'{{"message": {begun}}}, "message": {begun}, "taskId": "TASK"}}}}'),
        "get twice": ("GetTask", '{"id": "00000000-0000-4000-8000-000000000000", "id": "TASK"}'),
        "name": ("GetTask", '{"name": "tasks/TASK", "id": "TASK"}'),
        "push": ("CreateTaskPushNotificationConfig", f'{{"task_id": "TASK", {config}}}'),
        "push both": ("CreateTaskPushNotificationConfig", f'{{{own}, "task_id": "TASK", {config}}}'),
        "push list": ("ListTaskPushNotificationConfigs", '{"task_id": "TASK"}'),
        "push get": ("GetTaskPushNotificationConfig", '{"task_id": "TASK", "id": "mine"}'),
    }


@pytest.mark.requirement("a2a.owners")
@pytest.mark.parametrize("way", spelled())
def test_no_spelling_reaches_a_task_of_somebody_else(
    between: Gateway, keys: tuple[str, str], owned: Mapping[str, tuple[str, str]], way: str, agent: str
) -> None:
    task, context = owned[agent]
    method, given = spelled()[way]
    params = given.replace("TASK", task).replace("CONTEXT", context)
    body = f'{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params}}}'.encode()
    reply = between.post(f"/a2a/agents/{agent}", body, {"a2a-version": "1.0"}, key=keys[1])
    assert reply.json["error"]["code"] in {-32001, -32602}, reply.body


@pytest.mark.requirement("a2a.owners")
def test_a_list_has_ones_own_tasks_alone(stranger: Asker, owned: Mapping[str, tuple[str, str]]) -> None:
    task, context = owned[stranger.agent]
    assert task not in str(stranger.ask("list").body)
    assert stranger.ask("list", context=context).body.get("tasks") in ([], None)


@pytest.mark.requirement("a2a.owners")
def test_the_owner_sees_what_others_do_not(
    between: Gateway, keys: tuple[str, str], owned: Mapping[str, tuple[str, str]], agent: str
) -> None:
    asker, (task, context) = Asker(between, agent, key=keys[0]), owned[agent]
    assert asker.ask("get", task=task).task["id"] == task
    assert [one["id"] for one in asker.ask("list", context=context).body["tasks"]] == [task]
    assert [one["id"] for one in asker.ask("list_push", task=task).body["configs"]] == ["mine"]
