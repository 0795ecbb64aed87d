"""The command line: `commands` puts it together; a module for each group of commands, and some that word and print.

`serving` is the exception. It runs the link service without the rest, because what is imported to read a command line
stays in memory for as long as the service runs. This file imports nothing for the same reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def main() -> None:
    """The program."""
    with_exit_codes(_run)


def with_exit_codes(act: Callable[[], None]) -> None:
    """Do something; our errors become sentences on standard error, and exit codes."""
    from connector.errors import ConfigError, ConnectorError, without_promise

    try:
        act()
    except ConfigError as failure:
        for problem in failure.problems:
            print(problem, file=sys.stderr)
        sys.exit(2)
    except ConnectorError as failure:
        print(without_promise(failure), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    from connector.cli.serving import config_of, serve_links

    path = config_of(sys.argv[1:], os.environ)
    if path is not None:
        serve_links(path)
    else:
        from connector.cli.commands import app

        app()
