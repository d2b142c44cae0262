"""`python -m txbox.cli` is `txbox`."""

from txbox.cli.main import main

main()
