"""Record the answers of a real Request Tracker anew, for the tests that run without one.

    python scripts/record_requesttracker.py

Starts a server of its own (tests/e2e/rt5-setup.sh; install the packages with its command `install` first), runs the
contract and the oddities against it, and writes what it answered to tests/psa/cassettes/requesttracker, scrubbed to
the fields that tests/psa/requesttracker_cassettes.py names. Then plays everything back once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASSETTES = ROOT / "tests" / "psa" / "cassettes" / "requesttracker"
TESTS = "tests/psa/test_requesttracker_cassettes.py"


def main() -> int:
    """0 when everything was recorded and plays."""
    if not Path("/usr/share/request-tracker5/libexec/rt-server").exists():
        print(
            "Request Tracker 5 is not installed. As root on Debian 12: tests/e2e/rt5-setup.sh install", file=sys.stderr
        )
        return 1
    shutil.rmtree(CASSETTES, ignore_errors=True)
    for recording in ("1", "0"):
        environment = {**os.environ, "RECORD_REQUESTTRACKER": recording}
        arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", TESTS]
        if recording == "1":
            arguments += ["-k", "FromCassettes"]
        done = subprocess.run(arguments, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
