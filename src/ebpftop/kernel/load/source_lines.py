"""The lines of the source in what the kernel gets, and says: the same for every kernel.

LLVM writes the text of a line next to its number, if it can read the file; ours is only in memory. So the texts are
added here. Before Linux 6.9 the verifier's log has only the text, not the number: then the text says it too, in the
same form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ebpftop.kernel.load import object_file
from ebpftop.kernel.load.built import Built
from ebpftop.kernel.load.loading import LineInfo
from ebpftop.kernel.load.object_file import LINE_INFO

NUMBERS_SINCE = (6, 9)
"""Linux that writes "; text @ file:line"."""


class Lined(NamedTuple):
    """A BTF blob with the texts, and the lines of each program: as the kernel gets them, and decoded."""

    btf: bytes
    raw: Mapping[str, bytes]
    lines: Mapping[str, tuple[LineInfo, ...]]


def with_texts(built: Built, name: str, text: Sequence[str], version: tuple[int, int]) -> Lined:
    """Add the lines *text* of the source *name*, which `#line` puts into the root folder, for a kernel of *version*."""
    if not built.btf:
        return Lined(b"", {program.name: b"" for program in built.programs}, {})
    base = len(object_file.btf_strings(built.btf))
    added = bytearray()
    offsets: dict[int, int] = {}

    def offset(number: int) -> int:
        if number not in offsets:
            offsets[number] = base + len(added)
            line = text[number - 1].strip().replace("\0", " ")
            if version < NUMBERS_SINCE:
                line = f"{line} @ {name}:{number}"
            added.extend(line.encode("utf-8", "replace") + b"\0")
        return offsets[number]

    raw: dict[str, bytes] = {}
    lines: dict[str, tuple[LineInfo, ...]] = {}
    for program in built.programs:
        records, decoded = [], []
        for insn, file_at, line_at, place in _in_file(program.lines, built.file_names, len(text)):
            number, column = place >> 10, place & 0x3FF
            file = built.file_names.get(file_at, "")
            is_ours = _is_own(file)
            has_text = is_ours and 0 < number <= len(text)
            records.append(LINE_INFO.pack(insn, file_at, offset(number) if has_text else line_at, place))
            written = text[number - 1].strip() if has_text else ""
            decoded.append(LineInfo(insn, number, column, name if is_ours else file, written))
        raw[program.name] = b"".join(records)
        lines[program.name] = tuple(decoded)
    return Lined(object_file.with_strings(built.btf, bytes(added))[0], raw, lines)


def _in_file(raw: bytes, names: Mapping[int, str], count: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the records of *raw*; those of lines behind the *count* of the file have the next line in it, or the last.

    What BCC writes behind the last line, as it does for TRACEPOINT_PROBE, would be of lines that nobody has.
    """
    records = list(LINE_INFO.iter_unpack(raw))
    for at, (insn, file_at, line_at, place) in enumerate(records):
        if _is_own(names.get(file_at, "")) and place >> 10 > count:
            near = (*records[at:], *reversed(records[:at]))
            own = (one for one in near if one[1] == file_at and 0 < one[3] >> 10 <= count)
            yield insn, file_at, line_at, next(own, (0, 0, 0, place))[3]
        else:
            yield insn, file_at, line_at, place


def _is_own(file: str) -> bool:
    """Return whether a file is the source: `#line` puts it into the root folder."""
    return file.count("/") == file.startswith("/")
