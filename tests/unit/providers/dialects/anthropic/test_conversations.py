from __future__ import annotations

from typing import Any

from pointsman.providers.dialects.anthropic.blocks import Writing
from pointsman.providers.dialects.anthropic.conversations import Conversation
from pointsman.wire.chat import Role, Text, ToolResult, Turn


def converse(
    *said: tuple[Role, str], takes_system_within: bool = True
) -> tuple[list[str], list[tuple[str, list[str]]]]:
    conversation = Conversation(Writing(lose=refuse), takes_system_within=takes_system_within)
    for index, (role, text) in enumerate(said):
        conversation.add(Turn(role, [Text(text)]), f"messages[{index}]", is_own=False)
    messages = conversation.messages()
    return texts(conversation.system), [(message["role"], texts(message["content"])) for message in messages]


def texts(blocks: list[dict[str, Any]]) -> list[str]:
    return [block["text"] for block in blocks]


def refuse(place: str) -> None:
    raise AssertionError(place)


def test_turns_of_one_role_become_one_message() -> None:
    assert converse(("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e"))[1] == [
        ("user", ["a", "b"]),
        ("assistant", ["c", "d"]),
        ("user", ["e"]),
    ]


def test_a_turn_that_says_nothing_does_not_part_its_neighbours() -> None:
    assert converse(("user", "a"), ("assistant", " "), ("user", "b"))[1] == [("user", ["a", "b"])]


def test_what_the_system_says_first_is_the_system_prompt() -> None:
    system, messages = converse(("system", "a"), ("developer", "b"), ("user", "c"))
    assert (system, messages) == (["a", "b"], [("user", ["c"])])


def test_what_the_system_says_later_stands_after_the_users_next_words() -> None:
    system, messages = converse(
        ("user", "a"), ("system", "b"), ("user", "c"), ("assistant", "d"), ("developer", "e"), ("user", "f")
    )
    assert system == []
    assert messages == [
        ("user", ["a", "c"]),
        ("system", ["b"]),
        ("assistant", ["d"]),
        ("user", ["f"]),
        ("system", ["e"]),
    ]


def test_a_system_message_that_no_user_precedes_joins_the_prompt() -> None:
    assert converse(("user", "a"), ("assistant", "b"), ("system", "c")) == (
        ["c"],
        [("user", ["a"]), ("assistant", ["b"])],
    )


def test_models_that_take_none_within_get_all_of_the_system_first() -> None:
    said = converse(("user", "a"), ("system", "b"), ("assistant", "c"), takes_system_within=False)
    assert said == (["b"], [("user", ["a"]), ("assistant", ["c"])])


def test_the_beginning_of_an_answer_does_not_end_in_white_space() -> None:
    assert converse(("user", "a "), ("assistant", "Yes: \n"))[1] == [("user", ["a "]), ("assistant", ["Yes:"])]


def test_results_of_tools_come_first() -> None:
    conversation = Conversation(Writing(lose=refuse), takes_system_within=True)
    for call, text in (("1", "a"), ("2", "b")):
        turn = Turn("user", [Text(text), ToolResult(call_id=call, parts=[])])
        conversation.add(turn, "messages[0]", is_own=False)
    kinds = [block.get("tool_use_id") or block["text"] for block in conversation.messages()[0]["content"]]
    assert kinds == ["1", "2", "a", "b"]


def test_members_of_a_message_are_kept_in_this_dialect_and_lost_in_others() -> None:
    lost: list[str] = []
    turn = Turn("user", [Text("a")], name="ada", extras={"thread_id": "t"})
    own = Conversation(Writing(lose=lost.append), takes_system_within=True)
    own.add(turn, "messages[0]", is_own=True)
    assert own.messages()[0]["thread_id"] == "t"
    assert lost == ["messages[0].name"]
    Conversation(Writing(lose=lost.append), takes_system_within=True).add(turn, "messages[0]", is_own=False)
    assert lost[1:] == ["messages[0].name", "messages[0].thread_id"]
