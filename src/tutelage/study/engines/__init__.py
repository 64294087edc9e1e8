"""Who executes the tasks of a plan, and where."""
