"""Signatures of Standard Webhooks (specification 1.0.0, https://www.standardwebhooks.com, read 2026-11-22)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"
LEAST_SECRET_BYTES: Final = 24
MOST_SECRET_BYTES: Final = 64


def read_secret(text: str) -> bytes:
    """The bytes of a secret as it is written: `whsec_` and base64 of 24 to 64 random bytes.

    Raises:
        ValueError: It has another form. The message does not repeat it.
    """
    if not text.startswith(PREFIX):
        raise ValueError(f"a webhook's secret begins with {PREFIX}")
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    if not LEAST_SECRET_BYTES <= len(secret) <= MOST_SECRET_BYTES:
        raise ValueError(f"a webhook's secret has {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes")
    return secret


def signed_headers(body: bytes, *, message_id: str, now: datetime, secrets: Sequence[bytes]) -> Mapping[str, str]:
    """The headers of one delivery.

    Args:
        message_id: The same at each try, by which the receiver knows a repeat; no `.` in it.
        now: Of this try.
        secrets: One signature for each, the current one first; the receiver needs to know one of them.
    """
    timestamp = str(int(now.timestamp()))
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
