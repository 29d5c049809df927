"""The errors of the layers below the probes."""

from __future__ import annotations


class BtfError(Exception):
    """The type information is absent, not understood, or does not have what was looked up."""


class NotCompiledError(Exception):
    """A program was requested that was not compiled, because it seemed not to be needed."""


class DamagedError(Exception):
    """A cached entry was not what the compiler makes; it is replaced, so try again."""


class LoadError(Exception):
    """A program was not compiled, loaded or attached; the text says which and why."""


class FormatError(ValueError):
    """The kernel describes its events in a way that is not understood here."""
