"""What comes before the link service serves, in a process of its own: see `serving`, which starts it.

It reads and checks the service's file, brings the database up to date, gives back what was read, and ends.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from connector.cli import with_exit_codes
from connector.cli.serving import Prepared
from connector.errors import ConfigError, ConnectorError

if TYPE_CHECKING:
    from connector.config import LinkServerSettings
    from connector.secretlink.service.options import LinkServiceOptions


def prepare(path: Path) -> Prepared:
    """Read the file of the link service, and bring its database up to date where nobody else works with it.

    Raises:
        ConfigError: With every problem of the file; or another service holds the database, or has a newer one.
        DatabaseError: The database cannot be reached.
    """
    from connector.migrations import upgrade
    from connector.store import exclusive

    settings, options = read(path)
    with exclusive(settings.database, who="link service"):
        upgrade(settings.database, "links")
    return Prepared(options, settings.log.level, settings.log.format)


def read(path: Path) -> tuple[LinkServerSettings, LinkServiceOptions]:
    """The file of the link service, and what it asks for.

    Raises:
        ConfigError: With every problem, each with the name of the file.
    """
    from connector.config import load_link_server
    from connector.secretlink.service.options import LinkServiceOptions

    settings = load_link_server(path)
    try:
        return settings, LinkServiceOptions.from_settings(settings, folder=path.resolve().parent)
    except ConfigError as wrong:
        raise ConfigError([f"{path.name}: {problem}" for problem in wrong.problems]) from None


def main() -> None:
    """Give back what was read, through the standard output. A terminal gets nothing: there are secrets in it."""
    pipe = sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing else may come between
    given = pickle.dumps(prepare(Path(sys.argv[1])))
    if pipe.isatty():
        return
    try:
        pipe.write(given)
        pipe.flush()
    except BrokenPipeError:
        raise ConnectorError("The link service that was to start has ended meanwhile.") from None


if __name__ == "__main__":
    with_exit_codes(main)
