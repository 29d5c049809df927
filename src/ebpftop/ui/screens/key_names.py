"""Names of keys, as Textual has them: `f5`, `ctrl+r`, `question_mark`; one character stands for itself."""

from __future__ import annotations

from difflib import get_close_matches

from textual.keys import KEY_ALIASES, KEY_NAME_REPLACEMENTS, Keys, _character_to_key, key_to_character

_MODIFIERS = frozenset(("ctrl", "shift", "alt", "super", "hyper", "meta"))
_NAMED = frozenset((*(key.value for key in Keys if not key.value.startswith("<")), *KEY_NAME_REPLACEMENTS.values()))
_SHORT = {"pgup": "pageup", "pgdn": "pagedown", "del": "delete", "ins": "insert", "esc": "escape", "return": "enter"}
"""What is on keys, or in the documents of other programs."""

ALLOWED = "one character, f1 to f24, names as enter, space, pageup, question_mark; before them ctrl+, alt+ or shift+"


def is_key(name: str) -> bool:
    """Is *name* that of a key, with or without modifiers?"""
    if len(name) == 1 or name in _NAMED or any(name in aliases for aliases in KEY_ALIASES.values()):
        return True
    *modifiers, key = name.split("+")
    if not _MODIFIERS.issuperset(modifiers):
        return False
    if len(key) == 1 or key in _NAMED:
        return True
    # Unicode has names for controls too (`esc`), which are not those of keys.
    character = key_to_character(key)
    return character is not None and character.isprintable() and _character_to_key(character) == key


def wrong_key(keys: str) -> str:
    """Return why *keys*, with commas between them, are not all keys, and what is allowed; empty if they are."""
    for name in filter(None, keys.split(",")):
        if not is_key(name):
            return f"{name!r} is not a key{_proposal(name)}; allowed are {ALLOWED}"
    return ""


def _proposal(name: str) -> str:
    *modifiers, key = name.lower().replace("-", "+").replace("control+", "ctrl+").split("+")
    key = _SHORT.get(key, key)
    if is_key(found := "+".join((*modifiers, key))):
        return f"; did you mean {found}?"
    close = get_close_matches(key, sorted(_NAMED), 1, 0.7)
    return f"; did you mean {close[0]}?" if close else ""
