"""A key map takes keys away: an action with the text "" in it has none.

Textual's key map has no word for that, and leaves such an action its usual keys.
"""

from __future__ import annotations

from textual.binding import BindingsMap, Keymap, KeymapApplyResult

_apply_keymap = BindingsMap.apply_keymap


def apply_keymap(bindings: BindingsMap, keymap: Keymap) -> KeymapApplyResult:
    """Replace the keys that are in *keymap*, and remove those of actions that have none there."""
    left = {
        key: [one for one in declared if one.id is None or keymap.get(one.id) != ""]
        for key, declared in bindings.key_to_bindings.items()
    }
    bindings.key_to_bindings = {key: declared for key, declared in left.items() if declared}
    return _apply_keymap(bindings, keymap)


def install() -> None:
    """Let all key maps take keys away."""
    BindingsMap.apply_keymap = apply_keymap  # type: ignore[assignment, method-assign]
