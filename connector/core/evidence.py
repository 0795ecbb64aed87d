"""A fingerprint of what a decision was read from, so that an auditor can compare it with the PSA later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence


def digest_of(rows: Sequence[Mapping[str, str]]) -> str:
    """SHA-256, in hexadecimal, over the rows that a decision was read from.

    The rows hold the fields that matter, by the vendor's own names, as text; never a token, and nothing that changes
    by itself (reminder times, counters). Their order does not count, so the same decision always has the same digest.
    It is no signature: it shows that the PSA says the same today, not who wrote it.
    """
    lines = sorted(json.dumps(dict(row), sort_keys=True, ensure_ascii=True) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
