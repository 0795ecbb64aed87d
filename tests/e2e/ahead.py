"""The connector as it will be some minutes later: its process's clock is set ahead, and goes on from there.

    python tests/e2e/ahead.py 11 --config connector.yaml run

What takes minutes of an outage is seen in seconds, by the same program.
"""

from __future__ import annotations

import runpy
import sys
from datetime import UTC, datetime, timedelta

import time_machine


def main() -> None:
    minutes = float(sys.argv.pop(1))
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes), tick=True):
        runpy.run_module("connector", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
