"""A password as a QR code, for the phone of the person beside you."""

from __future__ import annotations

from dataclasses import dataclass

from connector.core.secret import Secret

QUIET_ZONE = 4
"""Light squares that a reader needs around the code (ISO/IEC 18004)."""


@dataclass(frozen=True)
class QrPicture:
    """A code as a vector path, one unit a square. Whoever reads it reads the password; `repr` does not show it.

    Attributes:
        size: Squares from edge to edge, the quiet zone included.
        path: For the `d` of an SVG `path`; only whole numbers and path letters.
    """

    size: int
    path: str

    def __repr__(self) -> str:
        return f"QrPicture(size={self.size})"


def draw(password: Secret) -> QrPicture:
    """Draw a password. A QR code that is not micro: every phone's camera reads it."""
    import segno  # here, because most services never draw one

    matrix = segno.make(password.reveal(), error="m", micro=False).matrix
    parts: list[str] = []
    for y, row in enumerate(matrix):
        x = 0
        while x < len(row):
            start = x
            while x < len(row) and row[x]:
                x += 1
            if x > start:
                parts.append(f"M{start + QUIET_ZONE} {y + QUIET_ZONE}h{x - start}v1h-{x - start}z")
            x += 1
    return QrPicture(len(matrix) + 2 * QUIET_ZONE, "".join(parts))
