"""What a look at the configuration and the systems behind it has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One line of `connector check`.

    Attributes:
        about: The thing looked at, as the admin knows it: `psa.halo.client_secret`, `tenants.contoso`.
        text: What was found.
        todo: What to do about it; empty where nothing is to be done.
        temporary: An error that may mend itself (the system is away or refuses us for now), so it stops no start.
    """

    level: Level
    about: str
    text: str
    todo: str = ""
    temporary: bool = False
