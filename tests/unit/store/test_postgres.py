from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from pointsman.store import postgres
from pointsman.store.base import StoreDown
from pointsman.store.postgres import Address, Postgres
from pointsman.store.settings import RecordSettings
from pointsman.wire.secret import Secret


def test_an_address_is_read_as_prisma_and_psql_take_it() -> None:
    address = Address(
        "postgresql://u:p%40ss@db:5433/name?schema=gateway&connection_limit=7&pool_timeout=10&sslmode=require"
    )
    url = address.url
    assert (url.drivername, url.username, url.password) == ("postgresql+asyncpg", "u", "p@ss")
    assert (url.host, url.port, url.database, dict(url.query)) == ("db", 5433, "name", {})
    assert address.connections == 7
    assert address.options["ssl"] == "require"
    assert address.options["server_settings"] == {"application_name": "pointsman", "search_path": "gateway"}
    assert "statement_cache_size" not in address.options


def test_a_socket_can_be_named_and_a_pooler() -> None:
    address = Address("postgres:///name?host=/run/postgresql&pgbouncer=true")
    assert address.url.host == "/run/postgresql"
    assert address.options["statement_cache_size"] == 0
    assert address.connections is None


def test_a_root_certificate_is_asked_for(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "root.pem")
    assert (
        Address(f"postgres://h/d?sslmode=verify-full&sslrootcert={tmp_path / 'root.pem'}").options["ssl"].check_hostname
    )


def test_a_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(StoreDown, match="connection_limit"):
        Address("postgres://h/d?connection_limit=many")


def test_the_day_of_a_partition_is_in_its_name() -> None:
    day = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp()) // postgres.DAY
    assert postgres._day("20261122") == day


def test_a_password_is_not_shown() -> None:
    backend = Postgres(RecordSettings(url=Secret("postgres://u:canary-77@h/d")))
    assert "canary-77" not in repr(backend.writing) + repr(backend._address.url)


def test_all_processes_of_a_gateway_have_one_name_that_fits() -> None:
    def name(who: str) -> str:
        return str(Address("postgres://h/d", who).options["server_settings"]["application_name"])

    assert (name(""), name("7 host")) == ("pointsman", "pointsman 7 host")
    assert len(name("7 " + "h" * 100)) == postgres.MAX_NAME
