"""What we remember: cases, the outbox, the audit, the polls' cursors. SQLite or PostgreSQL."""

from connector.store.audit import AuditReport, Head
from connector.store.cases import SqlCaseStore, open_store
from connector.store.lock import exclusive

__all__ = ["AuditReport", "Head", "SqlCaseStore", "exclusive", "open_store"]
