"""The command line: which words it takes, and what they lead to."""
