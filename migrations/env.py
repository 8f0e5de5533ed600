"""Alembic's entry: runs revisions on the connection that `migrations` opened."""

from alembic import context

import files_store.records
import jobs.batches.records
import jobs.outlook.records
import jobs.records
import jobs.shares.records
import jobs.tenant_records
import jobs.webhooks.records
import jobs.worker_records
import models_store.records
from jobs.database import Base

TABLES_FROM = (
    files_store.records,
    jobs.batches.records,
    jobs.outlook.records,
    jobs.records,
    jobs.shares.records,
    jobs.webhooks.records,
    jobs.tenant_records,
    jobs.worker_records,
    models_store.records,
)

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
