"""Text that came from other programs, made safe before it becomes a record.

A command name, an argument or a printk line may hold anything but NUL: escape sequences that would repaint the
terminal, bytes that are no UTF-8, right-to-left marks. Everything here ends as characters that `str.isprintable`
accepts.
"""

from __future__ import annotations


def escape(raw: bytes | str) -> str:
    r"""Return *raw* with every unprintable character as ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``.

    Bytes that are not UTF-8 stand as ``\xNN``. A backslash stays as it is.
    """
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _code(ord(c)) for c in text)


def _code(point: int) -> str:
    if point < 0x100:
        return f"\\x{point:02x}"
    if point < 0x10000:
        return f"\\u{point:04x}"
    return f"\\U{point:08x}"


def c_string(raw: bytes) -> str:
    """Escape the bytes of a C char array up to its first NUL."""
    return escape(raw.partition(b"\0")[0])
