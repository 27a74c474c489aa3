"""The store on PostgreSQL 14 or later: several identical replicas on one database.

Only this package imports asyncpg, and it is imported only if the configuration has a ``postgresql://`` URL.
"""

from __future__ import annotations

from mailbridge.store.postgres.opening import open_postgres
from mailbridge.store.postgres.store import PostgresStore

__all__ = ["PostgresStore", "open_postgres"]
