"""Textual's settings, which it reads from the environment when it is imported. Import this before anything of Textual.

They could load another driver, write a log anywhere, press keys or end the app. They are not meant for ebpftop.
"""

from __future__ import annotations

import os

for _name in [name for name in os.environ if name.startswith("TEXTUAL")]:
    del os.environ[_name]
# Twice the default halves how long a key waits for its frame, at the same load (measured).
os.environ["TEXTUAL_FPS"] = "120"
# Milliseconds that Escape waits for the rest of a sequence, under the name that ncurses has for it. Textual waits for
# 100, most terminal programs for 25. If a slow line still cuts a sequence in two, key_parser.py joins it.
os.environ.setdefault("ESCDELAY", "25")
