"""The command line: `commands` reads arguments and calls the rest; the others look things over, word and print them."""

from connector.cli.commands import main

__all__ = ["main"]
