from __future__ import annotations

import json
from typing import Any

import pytest
from unit.a2a.rig import Rig, caller, message, task

from pointsman.a2a.protocol.operations import Operation
from pointsman.errors import UpstreamUnreachable
from pointsman.store.sealing import CannotUnseal
from pointsman.wire.jsonrpc import RpcError

OTHER = caller("key:other")
LIST = Operation.LIST
SECOND = 1_800_000_000


def at(seconds: int, state: str = "TASK_STATE_WORKING") -> dict[str, str]:
    """The status of a task."""
    return {"state": state, "timestamp": f"2027-01-15T08:00:{seconds:02}Z"}


class Older:
    """An agent that cannot list, and the tasks that it has."""

    def __init__(self, **settings: Any) -> None:
        self.rig = Rig(**settings)
        self.rig.agent.speaks = ("0.3",)
        self.tasks: dict[str, dict[str, Any]] = {}
        self.rig.agent.answers[Operation.GET] = self.get

    def get(self, params: dict[str, Any]) -> Any:
        found = self.tasks.get(params["id"])
        return RpcError(-32001, "Task not found") if found is None else found

    async def begin(self, number: int, who: Any = None, *, state: str = "working", **more: Any) -> None:
        one = {
            "kind": "task",
            "id": f"t{number}",
            "contextId": f"c{number}",
            "status": {"state": state, "timestamp": f"2027-01-15T08:00:{number:02}Z"},
            "history": [{"kind": "message", "messageId": str(n), "role": "user", "parts": []} for n in range(3)],
            "artifacts": [{"artifactId": "x", "parts": []}],
            **more,
        }
        self.tasks[one["id"]] = self.rig.agent.answers[Operation.SEND] = one
        await self.rig.ask(Operation.SEND, message(), who)

    async def list(self, params: Any = None, *more: Any, **options: Any) -> Any:
        return await self.rig.ask(LIST, params, *more, **options)


def ids(result: Any) -> list[str]:
    return [one["id"] for one in result["tasks"]]


@pytest.mark.requirement("a2a.list")
async def test_tasks_of_an_agent_that_cannot_list_come_from_the_ledger_the_newest_first() -> None:
    older = Older()
    for number in (1, 3, 2):
        await older.begin(number)
    await older.begin(9, OTHER)
    result = await older.list()
    assert ids(result) == ["t3", "t2", "t1"]
    assert (result["nextPageToken"], result["pageSize"], result["totalSize"]) == ("", 50, 3)
    assert result["tasks"][0]["status"] == at(3)
    assert ids(await older.list(None, OTHER)) == ["t9"]


async def test_they_come_page_by_page() -> None:
    older = Older()
    for number in range(1, 6):
        await older.begin(number)
    seen, token = [], ""
    for _ in range(3):
        result = await older.list({"pageSize": 2, "pageToken": token})
        seen.append(ids(result))
        token = result["nextPageToken"]
        assert result["totalSize"] == 5
    assert (seen, token) == ([["t5", "t4"], ["t3", "t2"], ["t1"]], "")


async def test_they_are_found_by_context_state_and_time() -> None:
    older = Older()
    await older.begin(1, contextId="c7")
    await older.begin(2, state="completed")
    await older.begin(3)
    for params, wanted in (
        ({"contextId": "c7"}, ["t1"]),
        ({"context_id": "c7", "page_size": "5"}, ["t1"]),
        ({"contextId": "nobodys"}, []),
        ({"status": "TASK_STATE_COMPLETED"}, ["t2"]),
        ({"status": "TASK_STATE_UNSPECIFIED"}, ["t3", "t2", "t1"]),
        ({"statusTimestampAfter": "2027-01-15T08:00:02Z"}, ["t3", "t2"]),
    ):
        result = await older.list(params)
        assert ids(result) == wanted
        assert result["totalSize"] == len(wanted)


async def test_tasks_that_went_on_unheard_are_asked_for_first() -> None:
    older = Older()
    await older.begin(1)
    await older.begin(2)
    older.tasks["t1"] = {**older.tasks["t1"], "status": {"state": "completed", "timestamp": "2027-01-15T08:00:30Z"}}
    assert ids(await older.list({"status": "TASK_STATE_COMPLETED"})) == ["t1"]
    assert ids(await older.list()) == ["t1", "t2"]


async def test_only_what_was_asked_for_is_told_of_each() -> None:
    older = Older()
    await older.begin(1)
    [one] = (await older.list())["tasks"]
    assert "artifacts" not in one
    assert len(one["history"]) == 3
    [one] = (await older.list({"includeArtifacts": True, "historyLength": 1}))["tasks"]
    assert one["artifacts"] == [{"artifactId": "x", "parts": []}]
    assert [message["messageId"] for message in one["history"]] == ["2"]
    [one] = (await older.list({"historyLength": 0}))["tasks"]
    assert "history" not in one


@pytest.mark.requirement("a2a.ledger")
async def test_a_task_that_its_agent_does_not_know_is_left_out_and_stays_its_owners() -> None:
    older = Older()
    await older.begin(1)
    await older.begin(2)
    hidden = older.tasks.pop("t1")
    result = await older.list()
    assert (ids(result), result["totalSize"]) == (["t2"], 1)
    older.tasks["t1"] = hidden
    assert (await older.rig.ask(Operation.GET, {"id": "t1"}))["id"] == "t1"
    assert ids(await older.list()) == ["t2", "t1"]


async def test_an_agent_that_cannot_be_reached_leaves_what_is_known() -> None:
    older = Older()
    await older.begin(1)
    older.rig.agent.answers[Operation.GET] = UpstreamUnreachable("gone")
    [one] = (await older.list())["tasks"]
    assert one == {
        "id": "t1",
        "contextId": "c1",
        "status": {"state": "TASK_STATE_WORKING", "timestamp": "2027-01-15T08:00:01.000Z"},
    }
    older.rig.agent.answers[Operation.GET] = RpcError(-32603, "no")
    assert ids(await older.list()) == ["t1"]


async def test_a_client_of_the_older_version_is_answered_in_it() -> None:
    older = Older()
    await older.begin(1)
    [one] = (await older.list(version="0.3"))["tasks"]
    assert (one["kind"], one["status"]["state"]) == ("task", "working")


@pytest.mark.parametrize(
    "params",
    [
        {"pageSize": 0},
        {"pageSize": 101},
        {"pageSize": "x"},
        {"historyLength": -1},
        {"status": "DONE"},
        {"statusTimestampAfter": "soon"},
        {"pageToken": "made up"},
        {"pageToken": "bm90aGluZw=="},
        {"pageSize": 1, "page_size": 2},
    ],
)
async def test_what_cannot_be_asked_is_refused(params: Any) -> None:
    older = Older()
    with pytest.raises(RpcError) as error:
        await older.list(params)
    assert error.value.code == -32602


async def test_where_the_gateway_is_to_add_nothing_such_an_agent_has_no_list() -> None:
    older = Older(adds=())
    with pytest.raises(RpcError) as error:
        await older.list()
    assert error.value.code == -32004


async def test_an_agent_that_can_list_is_asked_and_tasks_of_others_are_left_out() -> None:
    rig = Rig()
    await rig.begin("mine")
    await rig.begin("theirs", OTHER, context="c2")
    told = [task("theirs"), task("mine", artifacts=[]), task("nobodys"), {"strange": 1}]
    rig.agent.answers[LIST] = {"tasks": told, "nextPageToken": "next", "totalSize": 4}
    result = await rig.ask(LIST, {"page_size": 2, "contextId": "c1", "strange": 1})
    token = result.pop("nextPageToken")
    assert result == {"tasks": [task("mine")], "pageSize": 2, "totalSize": 1}
    assert rig.agent.asked[-1][2] == {"pageSize": 2, "contextId": "c1", "strange": 1, "pageToken": ""}
    await rig.ask(LIST, {"pageToken": token})
    assert rig.agent.asked[-1][2]["pageToken"] == "next"


@pytest.mark.requirement("a2a.owners")
async def test_where_an_agent_goes_on_is_told_to_nobody_and_taken_from_nobody_else() -> None:
    rig = Rig()
    await rig.begin("mine")
    await rig.begin("theirs", OTHER)
    rig.agent.answers[LIST] = {"tasks": [task("mine")], "nextPageToken": "theirs"}
    token = (await rig.ask(LIST))["nextPageToken"]
    assert "theirs" not in token
    asked = len(rig.agent.asked)
    for who, made in ((OTHER, token), (None, token[:-4]), (None, "v1."), (None, "theirs")):
        with pytest.raises(RpcError) as error:
            await rig.ask(LIST, {"pageToken": made}, who)
        assert error.value.code == -32602
    assert len(rig.agent.asked) == asked


async def test_where_nothing_can_be_sealed_the_ledger_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    await rig.begin("t1")
    await rig.begin("t2")
    rig.agent.answers = {
        LIST: {"tasks": [task("t1")], "nextPageToken": "theirs"},
        Operation.GET: lambda params: task(params["id"]),
    }

    def lacking(*_: Any) -> str:
        raise CannotUnseal("the library is missing")

    monkeypatch.setattr(rig.sealer, "seal", lacking)
    first = await rig.ask(LIST, {"pageSize": 1})
    second = await rig.ask(LIST, {"pageSize": 1, "pageToken": first["nextPageToken"]})
    assert sorted(ids(first) + ids(second)) == ["t1", "t2"]
    assert second["nextPageToken"] == ""


async def test_it_is_asked_on_while_all_it_tells_are_tasks_of_others() -> None:
    rig = Rig()
    await rig.begin("mine")
    pages = {"": (["a", "b"], "2"), "2": (["c"], "3"), "3": (["mine"], "4")}

    def tell(params: dict[str, Any]) -> Any:
        names, token = pages[params["pageToken"]]
        return {"tasks": [task(one) for one in names], "nextPageToken": token}

    rig.agent.answers[LIST] = tell
    result = await rig.ask(LIST)
    assert ids(result) == ["mine"]
    assert [params["pageToken"] for operation, _, params in rig.agent.asked if operation is LIST] == ["", "2", "3"]


@pytest.mark.parametrize("code", [-32601, -32004])
async def test_where_an_agent_of_the_latest_version_has_no_lists_the_ledger_has(code: int) -> None:
    rig = Rig()
    await rig.begin("mine")
    rig.agent.answers = {LIST: RpcError(code, "no"), Operation.GET: task("mine")}
    assert ids(await rig.ask(LIST)) == ["mine"]
    rig.agent.answers[LIST] = RpcError(-32602, "no")
    with pytest.raises(RpcError):
        await rig.ask(LIST)


async def test_in_which_state_its_tasks_are_it_knows_better() -> None:
    rig = Rig()
    await rig.begin("mine")
    rig.agent.answers[LIST] = {"tasks": [task("mine", "TASK_STATE_COMPLETED")], "nextPageToken": ""}
    result = await rig.ask(LIST, {"status": "TASK_STATE_COMPLETED"})
    assert (ids(result), result["totalSize"]) == (["mine"], 1)


async def test_who_has_no_task_is_told_so_without_asking_it() -> None:
    rig = Rig()
    assert await rig.ask(LIST) == {"tasks": [], "nextPageToken": "", "pageSize": 50, "totalSize": 0}
    assert rig.agent.asked == []


async def test_an_answer_that_is_no_list_is_an_empty_one() -> None:
    rig = Rig()
    await rig.begin("mine")
    answers: list[Any] = [{"tasks": "none", "nextPageToken": 5}, []]
    for answer in answers:
        rig.agent.answers[LIST] = answer
        assert ids(await rig.ask(LIST)) == []


async def test_of_several_replicas_none_can_tell_all_tasks() -> None:
    rig = Rig(replicas=("http://two",))
    await rig.begin("mine")
    rig.agent.answers[Operation.GET] = task("mine")
    assert ids(await rig.ask(LIST)) == ["mine"]
    assert json.dumps(rig.agent.asked[-1][2]) == '{"id": "mine"}'


@pytest.mark.requirement("a2a.replicas")
async def test_each_task_is_asked_for_at_its_own_replica() -> None:
    rig = Rig(replicas=("http://two",))
    for number, replica in enumerate(("http://one", "http://two", "http://one")):
        rig.agent.replica = replica
        await rig.begin(f"t{number}")
    rig.agent.answers[Operation.GET] = lambda params: task(params["id"])
    await rig.ask(LIST)
    assert len({passed.deadline for passed in rig.agent.passed[3:]}) == 1, "it is one call"
    asked = zip(rig.agent.asked[3:], rig.agent.passed[3:], strict=True)
    assert {params["id"]: passed.replica for (_, _, params), passed in asked} == {
        "t0": "http://one",
        "t1": "http://two",
        "t2": "http://one",
    }
