"""What an operator can set about who may come in."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from pointsman.wire.secret import Secret

AUTH_GRACE = 600.0


class TokenSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which tokens of an identity provider let somebody in, and what their claims say (``litellm_jwtauth``).

    A claim is named by itself, or by the way to it with dots.
    """

    key_urls: tuple[str, ...]
    """Where the public keys are: a JWKS, or an OpenID configuration that names one."""
    audiences: tuple[str, ...] = ()
    """One of them has to be meant; none: whoever is."""
    issuers: tuple[str, ...] = ()
    """One of them has to have made the token; none: whom an OpenID configuration names."""
    key_seconds: float = 600.0
    """So long keys, and who a token's caller is, are believed without asking again."""
    admin_scope: str = "litellm_proxy_admin"
    """Whoever has it is an admin."""
    admin_routes: tuple[str, ...] = ()
    """What admins may call; none: all that their role may."""
    routes: tuple[str, ...] = ("openai_routes", "info_routes")
    """What all others may call."""
    user_claim: str | None = None
    email_claim: str | None = None
    team_claim: str | None = None
    teams_claim: str | None = None
    """Of several teams the first one counts that is known here."""
    organization_claim: str | None = None
    default_team: str | None = None
    """Of whoever names none."""
    makes_users: bool = False
    """Whether users that are not known here are written down."""
    makes_teams: bool = False
    needs_team: bool = False
    email_domain: str | None = None
    """Others are refused; it begins after the ``@``."""
    user_roles_claim: str | None = None
    user_roles: tuple[str, ...] = ()
    """Whoever has none of them is refused; none: nobody is."""
    roles_claim: str | None = None
    roles: Mapping[str, str] = {}
    """What the provider's roles are here: ``proxy_admin``, ``proxy_admin_viewer``, ``internal_user`` or ``team``."""
    needs_role: bool = False
    """Whether whoever has none of ``roles`` is refused."""
    scopes: Mapping[str, tuple[str, ...]] = {}
    """Models by scope."""
    needs_scope: bool = False
    """Whether only the models of the token's scopes may be used."""


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who is let in."""

    master_key: Secret | None = None
    """Without one, every caller is the master, and the gateway answers loopback names only."""
    key_header: str | None = None
    """One more header that may carry the key (``litellm_key_header_name``)."""
    is_open_on_purpose: bool = False
    """Whether the operator has said that it may be open beyond loopback: any ``Host`` will do then."""
    is_metrics_public: bool = False
    """Whether ``/metrics`` is served without a key."""
    auth_grace: float = AUTH_GRACE
    """Seconds that keys which are known go on when the store that they come from is away."""
    master_budget: Decimal | None = None
    """US dollars that the master key may spend, too (``litellm_settings.max_budget``)."""
    master_budget_duration: str | None = None
    """After which it may spend as much again."""
    tokens: TokenSettings | None = None
    """``None``: tokens of others let nobody in."""
