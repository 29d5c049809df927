"""What the screen and the commands read from: the live kernel, a recording, a pipe."""
