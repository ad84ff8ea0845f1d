"""Running steps over an output: executors, in this process or on Ray, and what a run records."""
