"""The command line: verbs only, each of which calls the public functions of the package."""
