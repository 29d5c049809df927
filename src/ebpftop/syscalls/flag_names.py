"""Numbers as names of the C headers: flags joined with ``|``, choices by name, bits without a name in hexadecimal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_U32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Words:
    """How one argument reads. The bits under *mask* are one choice of *choices*; the rest are *flags*, each by itself.

    Only the low 32 bits count, since the kernel reads no more; all 64 if *wide*. Flags are tried in their order, so one
    that contains another (O_SYNC has O_DSYNC's bit) stands before it.
    """

    mask: int = 0
    choices: Mapping[int, str] = field(default_factory=dict)
    flags: Mapping[int, str] = field(default_factory=dict)
    zero: str = "0"
    wide: bool = False
    unknown: str = ""
    """What strace calls a number that has no name, in a comment behind it."""

    def __call__(self, value: int) -> str:
        """Return *value* in words."""
        left = value if self.wide else value & _U32
        words = []
        if self.mask and (choice := self.choices.get(left & self.mask)) is not None:
            words.append(choice)
            left &= ~self.mask
        for bits, name in self.flags.items():
            if left & bits == bits:
                words.append(name)
                left &= ~bits
        if left:
            words.append(f"{left:#x} /* {self.unknown} */" if self.unknown and not words else hex(left))
        return "|".join(words) or self.zero

    def case(self, value: int) -> str:
        """Return the word for the meaning of the call: the choice, without _PRIVATE (futex)."""
        return self.choices.get(value & self.mask, "").removesuffix("_PRIVATE") if self.mask else self(value)


def table(prefix: str, text: str) -> dict[int, str]:
    """Parse ``"A B=4 C"`` into {0: prefix + "A", 4: prefix + "B", 5: prefix + "C"}, counting on as C does."""
    names: dict[int, str] = {}
    following = 0
    for item in text.split():
        name, _, number = item.partition("=")
        value = int(number, 0) if number else following
        names.setdefault(value, prefix + name)
        following = value + 1
    return names


def flags(
    prefix: str,
    text: str,
    *,
    mask: int = 0,
    choices: Mapping[int, str] | None = None,
    last: Mapping[int, str] | None = None,
    wide: bool = False,
) -> Words:
    """Return the words of a set of flags; *last* have no prefix. A name for 0 is shown if no flag is set."""
    names = table(prefix, text)
    zero = names.pop(0, "0")
    return Words(mask=mask, choices=choices or {}, flags=names | dict(last or {}), zero=zero, wide=wide)


def choice(prefix: str, text: str, unknown: str = "") -> Words:
    """Return the words of an argument that is one of many."""
    return Words(mask=_U32, choices=table(prefix, text), unknown=unknown)
