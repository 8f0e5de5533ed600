"""How the database came to its shape: Alembic revisions, run by `release`."""
