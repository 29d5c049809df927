"""The commands: each `run` takes the parsed arguments and returns the exit status."""
