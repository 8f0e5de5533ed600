"""API keys: shown once, stored as a hash, scoped, expiring, revocable."""

import hashlib
import importlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from jobs import keys
from jobs.errors import UnknownKey
from jobs.ids import new_id
from jobs.keys import Scope
from tests.integration.job_samples import a_tenant, rows


@pytest.fixture
def tenant(engine: Engine) -> UUID:
    return a_tenant(engine)


def test_a_tenant_is_made_once(engine: Engine) -> None:
    assert a_tenant(engine, "a") == a_tenant(engine, "a") != a_tenant(engine, "b")


def test_a_key_speaks_for_its_tenant_with_its_scopes(engine: Engine, tenant: UUID) -> None:
    key, secret = keys.create(engine, tenant, "mine", [Scope.JOBS])
    principal = keys.authenticate(engine, secret)
    assert principal is not None
    assert (principal.tenant_id, principal.key_id) == (tenant, key.id)
    assert principal.scopes == frozenset({"jobs"})


def test_the_key_itself_is_stored_nowhere(engine: Engine, tenant: UUID) -> None:
    key, secret = keys.create(engine, tenant, "mine", [Scope.JOBS])
    assert len(secret) >= len(keys.PREFIX) + 43  # 256 bits in base64
    assert secret.startswith(key.prefix)
    assert len(key.prefix) <= len(keys.PREFIX) + 6
    [found] = rows(engine, "SELECT * FROM api_keys")
    assert secret not in repr(found)
    assert bytes(found.sha256) == hashlib.sha256(secret.encode()).digest()


@pytest.mark.parametrize("change", ["truncated", "longer", "case", "empty", "nul", "surrogate"])
def test_no_other_text_passes_for_a_key(change: str, engine: Engine, tenant: UUID) -> None:
    _, secret = keys.create(engine, tenant, "mine", [Scope.JOBS])
    other = {
        "truncated": secret[:-1],
        "longer": secret + "a",
        "case": secret.swapcase(),
        "empty": "",
        "nul": secret + "\x00",
        "surrogate": "\ud800",
    }[change]
    assert keys.authenticate(engine, other) is None


def test_a_revoked_key_is_over_and_stays_listed(engine: Engine, tenant: UUID) -> None:
    key, secret = keys.create(engine, tenant, "mine", [Scope.JOBS])
    first = keys.revoke(engine, tenant, key.id)
    assert first.revoked_at is not None
    assert keys.authenticate(engine, secret) is None
    assert keys.revoke(engine, tenant, key.id) == first
    assert keys.list_keys(engine, tenant) == [first]


def test_an_expired_key_is_over(engine: Engine, tenant: UUID) -> None:
    now = datetime.now(UTC)
    _, past = keys.create(engine, tenant, "past", [Scope.JOBS], now - timedelta(seconds=1))
    _, ahead = keys.create(engine, tenant, "ahead", [Scope.JOBS], now + timedelta(hours=1))
    assert keys.authenticate(engine, past) is None
    assert keys.authenticate(engine, ahead) is not None


def test_keys_of_another_tenant_are_unknown(engine: Engine, tenant: UUID) -> None:
    key, secret = keys.create(engine, tenant, "mine", [Scope.JOBS])
    other = a_tenant(engine, "other")
    assert keys.list_keys(engine, other) == []
    for missing in (key.id, new_id()):
        with pytest.raises(UnknownKey):
            keys.revoke(engine, other, missing)
    assert keys.authenticate(engine, secret) is not None


def test_keys_of_the_version_before_keep_what_they_could_do(engine: Engine, tenant: UUID) -> None:
    worker, _ = keys.create(engine, tenant, "worker", [Scope.JOBS])
    admin, _ = keys.create(engine, tenant, "admin", [Scope.JOBS, Scope.ADMIN])
    migration = importlib.import_module("migrations.versions.0015_tenants")
    for _ in range(2):
        with engine.begin() as connection:
            connection.execute(text(migration.KEEP_WHAT_THEY_COULD))
    scopes = {key.id: key.scopes for key in keys.list_keys(engine, tenant)}
    assert scopes[worker.id] == ["jobs", "models:read"]
    assert scopes[admin.id] == ["jobs", "admin", "models:read", "models:write"]
