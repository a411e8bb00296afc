"""The table of ``litellm_jwtauth``: which tokens of identity providers let somebody in."""

from __future__ import annotations

from pointsman.config.kinds import FLAG, LIST, TEXT, TEXTS, number
from pointsman.config.tables import Section, pending_rows, row

INTERNAL_ROLES = ("proxy_admin", "proxy_admin_viewer", "internal_user", "team")

ROLE_MAPPING = Section(
    name="role_mappings",
    about="What a role of the identity provider is here.",
    keys=(
        row("role", TEXT, "As the token names it.", is_required=True),
        row("internal_role", TEXT, "What it is here.", choices=INTERNAL_ROLES, is_required=True),
    ),
)

SCOPE_MAPPING = Section(
    name="scope_mappings",
    about="Which models a scope lets one use.",
    keys=(
        row("scope", TEXT, "As the token names it.", is_required=True),
        row("models", TEXTS, "Models, as in the models of a key.", is_required=True),
        *pending_rows(("routes",)),
    ),
)

JWT = Section(
    name="litellm_jwtauth",
    about="Which tokens let somebody in, and what their claims say. A claim in another one is named with a dot.",
    keys=(
        row("public_key_url", TEXTS, "Addresses of a JWKS or an OpenID configuration. Default: JWT_PUBLIC_KEY_URL."),
        row("audience", TEXTS, "Whom a token must be meant for, one of these. Default: JWT_AUDIENCE."),
        row("issuer", TEXTS, "Who must have made it, one of these. Default: JWT_ISSUER."),
        row("public_key_ttl", number(1, 86_400), "Seconds that keys and callers are believed. Default: 600."),
        row("admin_jwt_scope", TEXT, "The scope of admins. Default: litellm_proxy_admin."),
        row("admin_allowed_routes", TEXTS, "What admins may call. Default: all."),
        row("team_allowed_routes", TEXTS, "What others may call. Default: openai_routes and info_routes."),
        row("user_id_jwt_field", TEXT, "The claim with the user, such as sub."),
        row("user_email_jwt_field", TEXT, "The claim with the user's email address."),
        row("user_allowed_email_domain", TEXT, "Addresses of other domains are refused."),
        row("user_id_upsert", FLAG, "Whether users that are not known are written down."),
        row("team_id_jwt_field", TEXT, "The claim with the team."),
        row("team_ids_jwt_field", TEXT, "The claim with several teams, of which the first counts that is known."),
        row("team_id_default", TEXT, "The team of whoever names none."),
        row("team_id_upsert", FLAG, "Whether teams that are not known are written down."),
        row("enforce_team_based_model_access", FLAG, "Whether a token has to name a team that is known."),
        row("org_id_jwt_field", TEXT, "The claim with the organization; a team's own goes before it."),
        row("user_roles_jwt_field", TEXT, "The claim that user_allowed_roles are looked for in."),
        row("user_allowed_roles", TEXTS, "Whoever has none of these roles is refused."),
        row("roles_jwt_field", TEXT, "The claim that role_mappings are looked for in."),
        row("role_mappings", LIST, ROLE_MAPPING.about, holds="list", section=ROLE_MAPPING.name),
        row("enforce_rbac", FLAG, "Whether whoever has none of these roles is refused, admins by scope apart."),
        row("scope_mappings", LIST, SCOPE_MAPPING.about, holds="list", section=SCOPE_MAPPING.name),
        row("enforce_scope_based_access", FLAG, "Whether a token may use only the models of its scopes."),
        *pending_rows(("end_user_id_jwt_field", "public_allowed_routes", "upsert_sso_user_to_team")),
    ),
)
SECTIONS = (JWT, ROLE_MAPPING, SCOPE_MAPPING)
