"""Whether a reason reads like a lock-out: Entra's smart lock-out ends by itself, and a reset may not be needed at all.

Only ever a hint in a note and a mail. The words are those of English, German, French, Spanish, Dutch and
Italian; the code is Entra's own for it. Source: learn.microsoft.com, howto-password-smart-lockout and
reference-error-codes (50053), read 2026-11-22.
"""

from __future__ import annotations

import re

WORDS = re.compile(
    r"""
      \block(?:ed)?[\s-]?out\b | \block[\s-]?out\b | \baccount\b.{0,40}\blocked\b | \blocked\b.{0,40}\baccount\b
    | \btoo\ many\b.{0,20}\b(?:attempts|tries|times)\b | \b(?:AADSTS)?50053\b
    | \bgesperrt\w* | \bausgesperrt\w* | \bkonto\b.{0,20}\bsperre\b
    | \bverrouillé\w* | \bbloqué\w* | \bbloquead[ao]\w* | \bbloccat[ao]\w* | \bgeblokkeerd\w* | \bvergrendeld\w*
    """,
    re.IGNORECASE | re.VERBOSE,
)
LONGEST = 2000
"""Letters that are looked at: a reason may be a whole mail."""


def reads_like_a_lockout(reason: str) -> bool:
    """Whether the reason speaks of a lock-out."""
    return WORDS.search(" ".join(reason[:LONGEST].split())) is not None
