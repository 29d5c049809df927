"""Makes BTF blobs type by type (Documentation/bpf/btf.rst of the kernel), for tests of what reads them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ebpftop.kernel.btf_types import Kind


class BtfBuilder:
    """Types in the order in which they are added; each method returns the number of its type."""

    def __init__(self, *, first: int = 1, names_before: int = 0) -> None:
        """Begin a blob; that of a kernel module begins with other numbers than 1 and 0."""
        self._types = b""
        self._strings = b"\0" if first == 1 else b""
        self._before = names_before
        self._count = first - 1

    def blob(self) -> bytes:
        lengths = (0, len(self._types), len(self._types), len(self._strings))
        return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, *lengths) + self._types + self._strings

    def name(self, text: str) -> int:
        if not text:
            return 0
        place = self._strings.find(b"\0" + text.encode() + b"\0") + 1
        if not place:
            place = len(self._strings)
            self._strings += text.encode() + b"\0"
        return self._before + place

    def add(
        self, kind: int, name: str = "", third: int = 0, words: Sequence[int] = (), count: int = 0, flag: int = 0
    ) -> int:
        self._types += struct.pack("=III", self.name(name), flag << 31 | kind << 24 | count, third)
        self._types += struct.pack(f"={len(words)}I", *(word & 0xFFFFFFFF for word in words))
        self._count += 1
        return self._count

    def integer(self, name: str, size: int, *, encoding: int = 0) -> int:
        return self.add(Kind.INT, name, size, [encoding << 24 | 8 * size])

    def pointer(self, target: int) -> int:
        return self.add(Kind.PTR, "", target)

    def typedef(self, name: str, target: int) -> int:
        return self.add(Kind.TYPEDEF, name, target)

    def array(self, target: int, count: int) -> int:
        return self.add(Kind.ARRAY, "", 0, [target, 0, count])

    def composite(
        self,
        name: str,
        size: int,
        members: Sequence[tuple[str, int, int] | tuple[str, int, int, int]],
        *,
        kind: Kind = Kind.STRUCT,
    ) -> int:
        """*members*: name, type, where it begins in bits; of a bit-field its width too."""
        bit_fields = any(len(member) == 4 for member in members)
        words: list[int] = []
        for name_of, type_id, bits, *width in members:
            words += [self.name(name_of), type_id, bits | (width[0] << 24 if width else 0)]
        return self.add(kind, name, size, words, len(members), int(bit_fields))

    def enum(self, name: str, constants: dict[str, int], *, size: int = 4, signed: bool = False) -> int:
        words = [word for text, value in constants.items() for word in (self.name(text), value)]
        return self.add(Kind.ENUM, name, size, words, len(constants), int(signed))

    def enum64(self, name: str, constants: dict[str, int], *, signed: bool = False) -> int:
        words = [word for text, value in constants.items() for word in (self.name(text), value, value >> 32)]
        return self.add(Kind.ENUM64, name, 8, words, len(constants), int(signed))

    def function_type(self, returns: int, parameters: Sequence[tuple[str, int]]) -> int:
        words = [word for text, type_id in parameters for word in (self.name(text), type_id)]
        return self.add(Kind.FUNC_PROTO, "", returns, words, len(parameters))
