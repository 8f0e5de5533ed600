"""A client's Idempotency-Key for what is not made by one statement of its own."""

from uuid import UUID

from sqlalchemy import Connection, text

from jobs.envelopes import Idempotency
from jobs.errors import IdempotencyConflict

_CLAIM = text("""
INSERT INTO idempotency_keys (tenant_id, key, body_sha256, job_id)
VALUES (:tenant_id, :key, :body_sha256, :id) ON CONFLICT DO NOTHING
""")

_OWNER = text("""
SELECT job_id, body_sha256 FROM idempotency_keys WHERE tenant_id = :tenant_id AND key = :key
""")


def claim(connection: Connection, tenant_id: UUID, key: Idempotency, id: UUID) -> UUID:
    """Binds a key to an id within the caller's transaction; the id that it is bound
    to, which is another one if the key came before. Raises `IdempotencyConflict`."""
    values = {"tenant_id": tenant_id, "key": key.key, "body_sha256": key.body_sha256, "id": id}
    connection.execute(_CLAIM, values)
    owner = connection.execute(_OWNER, values).one()
    if bytes(owner.body_sha256) != key.body_sha256:
        raise IdempotencyConflict(
            "this Idempotency-Key was used before with another body; use a new key",
            param="Idempotency-Key",
        )
    return UUID(str(owner.job_id))
