"""What we remember: cases, the outbox, the audit, the polls' cursors. SQLite or PostgreSQL.

Each part is loaded when it is asked for: the link service takes `exclusive` alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.store.audit import AuditReport, Head
    from connector.store.cases import SqlCaseStore, open_store
    from connector.store.lock import exclusive

__all__ = ["AuditReport", "Head", "SqlCaseStore", "exclusive", "open_store"]

_HOMES = {"AuditReport": "audit", "Head": "audit", "SqlCaseStore": "cases", "open_store": "cases", "exclusive": "lock"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
