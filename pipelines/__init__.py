"""Ray Data jobs, runnable by `ray job submit`."""
