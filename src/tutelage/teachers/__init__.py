"""References to teachers become signals here: what a student hears. Nothing here trains."""
