"""Many hosts at once: their streams by ssh or by a pipe, read by a process of its own, and the model of all of them."""
