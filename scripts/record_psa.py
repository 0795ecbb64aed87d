"""Record what your own HaloPSA or ConnectWise PSA answers, for the tests of those who have none.

    python scripts/record_psa.py --config connector.yaml --psa halo --ticket 4242

Reads, and only reads: `check`, two polls, and the ticket that you name, twice. What is written holds no names,
addresses or texts of your tickets: keys that tests/psa/recording.py does not name are dropped, and every text becomes a
placeholder, except for the names in your mapping (ticket types, statuses, fields; none of people). Dates and the ids of
records stay. Before the file is written it is searched for your credentials, for addresses and for anything that looks
like a key. Look through it yourself before you give it away.

Request Tracker is recorded by scripts/record_requesttracker.py, from a server of its own.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from connector.adapter import Surroundings  # noqa: E402
from connector.config import load_connector  # noqa: E402
from connector.errors import ConfigError  # noqa: E402
from tests.psa.recording import record  # noqa: E402
from tests.psa.scrub import NotRecorded  # noqa: E402


def main(words: list[str] | None = None) -> int:
    """0 when the recording was written, 1 when it was refused, 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="your connector.yaml")
    parser.add_argument("--psa", required=True, help="the name under psa: in it")
    parser.add_argument("--ticket", required=True, help="id of a ticket of a mapped type, best with an approval")
    parser.add_argument("--out", type=Path, help="where to write it; default: tests/psa/cassettes/<psa>/tour.json")
    given = parser.parse_args(words)
    file = given.out or ROOT / "tests" / "psa" / "cassettes" / given.psa / "tour.json"
    try:
        settings, place = load_connector(given.config)
        if given.psa not in settings.psa:
            raise ConfigError(f"psa.{given.psa}: there is none. There is: {', '.join(settings.psa) or 'none'}.")
        around = Surroundings(
            place=place, http=settings.http, clock=lambda: datetime.now(UTC), tenants=settings.tenants
        )
        lines = record(given.psa, settings.psa[given.psa], around, ticket=given.ticket, file=file)
    except ConfigError as failure:
        print(failure, file=sys.stderr)
        return 2
    except NotRecorded as refusal:
        print(refusal, file=sys.stderr)
        return 1
    print("\n".join(lines))
    print(f"Written: {file}. Look through it before you give it away.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
