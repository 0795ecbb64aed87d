"""`python -m connector`: the same as the program `connector`."""

from connector.cli import main

main()
