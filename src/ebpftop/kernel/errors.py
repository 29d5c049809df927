"""What goes wrong below the probes."""

from __future__ import annotations


class BtfError(Exception):
    """The type information is absent, not understood, or lacks what was asked for."""


class NotCompiledError(Exception):
    """A program is asked for that was left out of its file, because nobody seemed to need it."""


class DamagedError(Exception):
    """What was kept from an earlier start was not what the compiler makes; it is replaced, so try again."""


class LoadError(Exception):
    """A program was not compiled, loaded or attached; the text says which and why."""


class FormatError(ValueError):
    """The kernel describes its events in a way that is not understood here."""
