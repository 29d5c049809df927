"""For all tests."""

import os

# It removes what the environment has for Textual. Done when a test imports the app, that would be also what
# pytest-textual-snapshot has put there, which fails at the end of the run without it.
import ebpftop.ui.textual_fixes.settings  # noqa: F401

# What somebody chose on the screen decides about no test.
os.environ["EBPFTOP_CONFIG"] = ""
