"""The command line: `commands` puts it together; a module for each group of commands, and some that word and print."""

from connector.cli.commands import main

__all__ = ["main"]
