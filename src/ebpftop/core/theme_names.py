"""What `--theme` may be, for those who cannot import the screen: what each looks like is in `ebpftop.ui.themes`."""

from __future__ import annotations

AUTO = "auto"
"""Dark or light, as the terminal's background is."""
SIXTEEN = "16"
"""The terminal's own sixteen colours."""

THEME_NAMES = (AUTO, "dark", "light", "contrast", "blue-orange", SIXTEEN)
