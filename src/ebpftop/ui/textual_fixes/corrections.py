"""The corrections that replace a part of Textual, all of them."""

from __future__ import annotations

from ebpftop.ui.textual_fixes import (
    changed_spans,
    compact_colours,
    dismissal,
    doubtful_widths,
    frame_pace,
    full_frames,
    late_timers,
    option_lists,
    parameter_counts,
    removed_keys,
    rule_hashes,
    stale_widgets,
)


def install() -> None:
    """Let Textual behave as a terminal program should, from now on."""
    changed_spans.install()
    compact_colours.install()
    dismissal.install()
    doubtful_widths.install()
    full_frames.install()
    frame_pace.install()
    late_timers.install()
    stale_widgets.install()
    option_lists.install()
    parameter_counts.install()
    removed_keys.install()
    rule_hashes.install()
