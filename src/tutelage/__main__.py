"""`python -m tutelage`: the command line, where the script is not on the path."""

from tutelage.cli.app import main

main()
