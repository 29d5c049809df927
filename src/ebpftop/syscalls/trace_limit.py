"""How many calls are traced; apart from tracing.py, since options and settings need no more of it at each start."""

from __future__ import annotations

DEFAULT_TRACE_LIMIT = 2000
"""Traced calls that each CPU reports a second, unless `--trace-limit` says otherwise."""
