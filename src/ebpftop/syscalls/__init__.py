"""System calls in words: names and numbers on every ABI, families, arguments, errors. Pure: no kernel, no screen."""
