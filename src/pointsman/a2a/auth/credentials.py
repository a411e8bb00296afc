"""Which credential an agent wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pointsman.a2a.auth.client_credentials import ClientCredentials
from pointsman.a2a.settings import AgentSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.addresses import Credential
from pointsman.upstream.credentials.static import Static
from pointsman.upstream.web import Web


def credential_of(
    settings: AgentSettings, web: Callable[[AgentSettings], Web], tasks: Tasks, now: Callable[[], float]
) -> Credential | None:
    """The one for an agent, to be kept as long as its settings; ``None``: it wants none.

    ``web`` gives the way to whoever gives tokens for it; ``now`` gives seconds since the epoch.
    """
    auth = settings.auth
    if auth.kind == "none":
        return None
    if auth.kind == "oauth2":
        return ClientCredentials(auth, web(settings), tasks, now)
    return Static(auth.kind, auth.header, auth.value)


async def lines_for(settings: AgentSettings, credential: Credential | None) -> Mapping[str, str]:
    """Header fields, with lower-cased names, for a request to a registered address of an agent.

    :raises GatewayError: there is no credential
    """
    lines = {name.lower(): value for name, value in settings.static_headers.items()}
    if credential is not None:
        lines.update((name.lower(), value) for name, value in (await credential.lines(None)).items())
    return lines
