"""Where it runs: executors, configuration, the command line. Only this package imports Ray."""
