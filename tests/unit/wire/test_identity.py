from __future__ import annotations

from pointsman.wire.identity import AwsIdentity, AzureIdentity, GoogleIdentity, secrets_of
from pointsman.wire.secret import Secret


def test_the_secrets_of_an_identity_are_all_that_nobody_may_see() -> None:
    aws = AwsIdentity(region="r", access_key_id="AK", secret_access_key=Secret("a"), session_token=Secret("b"))
    assert secrets_of(aws) == ("a", "b")
    assert secrets_of(GoogleIdentity(credentials=Secret("{}"))) == ("{}",)
    assert secrets_of(AzureIdentity(tenant_id="t")) == ()


def test_an_identity_does_not_print_its_secrets() -> None:
    assert "hidden" not in repr(AzureIdentity(client_id="c", client_secret=Secret("hidden")))
