"""Objects of both versions of A2A, as JSON, for tests that translate them."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from pointsman.a2a.protocol.messages import WRAPPED

Json = dict[str, Any]

texts = st.text(min_size=1, max_size=12)
names = st.text(alphabet="abcdefgh", min_size=1, max_size=6)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
stamps = st.tuples(moments, st.integers(0, 999)).map(
    lambda told: told[0].strftime("%Y-%m-%dT%H:%M:%S") + (f".{told[1]:03}" if told[1] else "") + "Z"
)
leaves = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.floats(-1e9, 1e9) | texts
values = st.recursive(
    leaves, lambda one: st.lists(one, max_size=2) | st.dictionaries(names, one, max_size=2), max_leaves=4
)
metadata = st.dictionaries(names.filter(lambda name: name != WRAPPED), values, min_size=1, max_size=2)
data = st.dictionaries(names, values, max_size=2)
base64 = st.binary(min_size=1, max_size=9).map(lambda raw: b64encode(raw).decode())
many = st.lists(texts, min_size=1, max_size=2)
states = ["submitted", "working", "completed", "failed", "canceled", "input-required", "rejected", "auth-required"]
legacy_states = st.sampled_from([*states, "unknown"])
modern_states = st.sampled_from([f"TASK_STATE_{one.upper().replace('-', '_')}" for one in states])


def made(needed: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(needed, optional=optional)


def just(value: Any) -> st.SearchStrategy[Any]:
    return st.just(value)


modern_parts = st.lists(
    made({"text": texts}, metadata=metadata)
    | made({"raw": base64}, metadata=metadata, filename=texts, mediaType=texts)
    | made({"url": texts}, metadata=metadata, filename=texts, mediaType=texts)
    | made({"data": values}, metadata=metadata),
    max_size=3,
)
legacy_files = made({"bytes": base64}, name=texts, mimeType=texts) | made({"uri": texts}, name=texts, mimeType=texts)
legacy_parts = st.lists(
    made({"kind": just("text"), "text": texts}, metadata=metadata)
    | made({"kind": just("file"), "file": legacy_files}, metadata=metadata)
    | made({"kind": just("data"), "data": data}, metadata=metadata)
    | st.builds(lambda one: {"kind": "data", "data": {"value": one}, "metadata": {WRAPPED: True}}, leaves),
    max_size=3,
)
of_message = {
    "contextId": texts,
    "taskId": texts,
    "metadata": metadata,
    "extensions": many,
    "referenceTaskIds": many,
}
modern_messages = made(
    {"messageId": texts, "role": st.sampled_from(["ROLE_USER", "ROLE_AGENT"]), "parts": modern_parts}, **of_message
)
legacy_messages = made(
    {
        "kind": just("message"),
        "messageId": texts,
        "role": st.sampled_from(["user", "agent"]),
        "parts": legacy_parts,
    },
    **of_message,
)
modern_statuses = made({"state": modern_states}, message=modern_messages, timestamp=stamps)
legacy_statuses = made({"state": legacy_states}, message=legacy_messages, timestamp=stamps)


def artifacts(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    optional = {"name": texts, "description": texts, "metadata": metadata, "extensions": many}
    return made({"artifactId": texts, "parts": parts}, **optional)


def tasks(kind: Json, status: st.SearchStrategy[Any], parts: Any, message: st.SearchStrategy[Any]) -> Any:
    optional = {
        "artifacts": st.lists(artifacts(parts), min_size=1, max_size=2),
        "history": st.lists(message, min_size=1, max_size=2),
        "metadata": metadata,
    }
    needed = {name: just(value) for name, value in kind.items()} | {"id": texts, "contextId": texts, "status": status}
    return made(needed, **optional)


modern_tasks = tasks({}, modern_statuses, modern_parts, modern_messages)
legacy_tasks = tasks({"kind": "task"}, legacy_statuses, legacy_parts, legacy_messages)
ids = {"taskId": texts, "contextId": texts}
flags = {"append": st.booleans(), "lastChunk": st.booleans(), "metadata": metadata}
modern_events = (
    made({"task": modern_tasks})
    | made({"message": modern_messages})
    | made({"statusUpdate": made(ids | {"status": modern_statuses}, metadata=metadata)})
    | made({"artifactUpdate": made(ids | {"artifact": artifacts(modern_parts)}, **flags)})
)
legacy_events = (
    legacy_tasks
    | legacy_messages
    | made(
        ids | {"kind": just("status-update"), "status": legacy_statuses, "final": st.booleans()},
        metadata=metadata,
    )
    | made(ids | {"kind": just("artifact-update"), "artifact": artifacts(legacy_parts)}, **flags)
)
modern_push = made({"url": texts}, id=texts, token=texts, authentication=made({"scheme": texts}, credentials=texts))
legacy_push = made(
    {"url": texts},
    id=texts,
    token=texts,
    authentication=made({"schemes": st.lists(texts, min_size=1, max_size=1)}, credentials=texts),
)
modern_task_push = st.builds(lambda task, config: {"taskId": task} | config, texts, modern_push)
legacy_task_push = st.builds(
    lambda task, config: {"taskId": task, "pushNotificationConfig": config}, texts, legacy_push
)
modern_sends = made(
    {
        "message": modern_messages,
        "configuration": made(
            {},
            acceptedOutputModes=many,
            historyLength=st.integers(0, 9),
            returnImmediately=st.booleans(),
            taskPushNotificationConfig=modern_push,
        ),
    },
    metadata=metadata,
)
legacy_sends = made(
    {"message": legacy_messages},
    configuration=made(
        {},
        acceptedOutputModes=many,
        historyLength=st.integers(0, 9),
        blocking=st.booleans(),
        pushNotificationConfig=legacy_push,
    ),
    metadata=metadata,
)
scopes = st.dictionaries(names, texts, min_size=1, max_size=2)
legacy_requirements = st.lists(st.dictionaries(names, st.lists(texts, max_size=2), max_size=2), min_size=1, max_size=2)
modern_requirements = legacy_requirements.map(
    lambda all_: [{"schemes": {name: {"list": list_} for name, list_ in one.items()}} for one in all_]
)
of_flows = {
    "authorizationCode": made({"authorizationUrl": texts, "tokenUrl": texts, "scopes": scopes}, refreshUrl=texts),
    "clientCredentials": made({"tokenUrl": texts, "scopes": scopes}, refreshUrl=texts),
    "implicit": made({"authorizationUrl": texts, "scopes": scopes}, refreshUrl=texts),
    "password": made({"tokenUrl": texts, "scopes": scopes}, refreshUrl=texts),
}
flows = st.one_of([made({name: flow}) for name, flow in of_flows.items()])
of_schemes: dict[str, tuple[str, dict[str, Any]]] = {
    "apiKey": ("apiKeySecurityScheme", {"name": texts}),
    "http": ("httpAuthSecurityScheme", {"scheme": texts, "bearerFormat": texts}),
    "oauth2": ("oauth2SecurityScheme", {"flows": flows, "oauth2MetadataUrl": texts}),
    "openIdConnect": ("openIdConnectSecurityScheme", {"openIdConnectUrl": texts}),
    "mutualTLS": ("mtlsSecurityScheme", {}),
}
places = st.sampled_from(["header", "query", "cookie"])


def schemes(*, is_modern: bool) -> st.SearchStrategy[Any]:
    found = []
    for type_, (member, needed) in of_schemes.items():
        extra = {("location" if is_modern else "in"): places} if type_ == "apiKey" else {}
        if is_modern:
            found.append(made({member: made(needed | extra, description=texts)}))
        else:
            found.append(made(needed | extra | {"type": just(type_)}, description=texts))
    return st.dictionaries(names, st.one_of(found), min_size=1, max_size=3)


of_card = {
    "provider": made({"url": texts, "organization": texts}),
    "documentationUrl": texts,
    "iconUrl": texts,
    "signatures": st.lists(made({"protected": texts, "signature": texts}, header=metadata), min_size=1, max_size=1),
}
extensions = st.lists(
    made({"uri": texts, "required": st.booleans()}, description=texts, params=metadata), min_size=1, max_size=1
)
capabilities = {"streaming": st.booleans(), "pushNotifications": st.booleans(), "extensions": extensions}


def skills(name: str, requirements: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    optional = {"examples": many, "inputModes": many, "outputModes": many, name: requirements}
    return st.lists(
        made({"id": texts, "name": texts, "description": texts, "tags": many}, **optional), min_size=1, max_size=2
    )


of_all_cards = {
    "name": texts,
    "description": texts,
    "version": texts,
    "defaultInputModes": many,
    "defaultOutputModes": many,
}
modern_cards = made(
    of_all_cards
    | {
        "supportedInterfaces": st.lists(
            made(
                {
                    "url": texts,
                    "protocolBinding": st.sampled_from(["JSONRPC", "HTTP+JSON", "GRPC"]),
                    "protocolVersion": st.sampled_from(["0.3", "0.3.0", "1.0"]),
                }
            ),
            min_size=1,
            max_size=3,
        ).filter(lambda all_: any(one["protocolVersion"] != "1.0" for one in all_)),
        "capabilities": made({}, **capabilities, extendedAgentCard=st.booleans()),
        "skills": skills("securityRequirements", modern_requirements),
    },
    **of_card,
    securitySchemes=schemes(is_modern=True),
    securityRequirements=modern_requirements,
)
legacy_cards = made(
    of_all_cards
    | {
        "url": texts,
        "preferredTransport": st.sampled_from(["JSONRPC", "HTTP+JSON"]),
        "protocolVersion": st.sampled_from(["0.3", "0.3.0"]),
        "capabilities": made({}, **capabilities, stateTransitionHistory=st.booleans()),
        "skills": skills("security", legacy_requirements),
    },
    **of_card,
    additionalInterfaces=st.lists(
        made({"url": texts, "transport": just("GRPC")}), min_size=1, max_size=2, unique_by=lambda one: one["url"]
    ),
    supportsAuthenticatedExtendedCard=st.booleans(),
    securitySchemes=schemes(is_modern=False),
    security=legacy_requirements,
)
