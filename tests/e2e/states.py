"""How far cases are, read from the connector's own database.

For waiting: to ask the program (`connector show`) costs a second of the processor each time.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from sandbox.stage import Stage


def states(stage: Stage) -> dict[str, str]:
    """The state of each case, by its ticket's number."""
    address = f"{(stage.folder / 'connector.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        return dict(connection.execute("SELECT number, state FROM cases"))


def state_of(stage: Stage, number: int | str) -> str:
    """The state of this ticket's case; empty where there is none yet."""
    return states(stage).get(str(number), "")
