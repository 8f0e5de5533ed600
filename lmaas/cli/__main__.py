"""`python -m lmaas.cli`: the command line where the script is not installed."""

from lmaas.cli import main

main()
