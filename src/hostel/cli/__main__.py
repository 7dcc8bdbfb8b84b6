"""`python -m hostel.cli`: the `hostel` command where its script is not installed."""

from hostel.cli.main import main

main()
