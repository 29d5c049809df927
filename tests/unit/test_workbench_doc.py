"""docs/workbench.md lists what may stand in a comment of a C file."""

from __future__ import annotations

import re
from pathlib import Path

from ebpftop.kernel.load.events import KINDS, parse
from ebpftop.kernel.load.source import read_from
from ebpftop.kernel.load.source_files import Includes

PAGE = Path(__file__).parents[2] / "docs" / "workbench.md"


def test_every_event_is_explained_as_the_error_message_has_it() -> None:
    rows = dict(re.findall(r"^\| `(\w+:[^`]+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE))
    assert rows == dict(KINDS.values())


def test_every_comment_that_is_shown_can_be_read() -> None:
    hints = re.findall(r"`(// ebpftop: [^`]+)`", PAGE.read_text())
    assert {hint.split()[2] for hint in hints} == {"attach", "show", "slot", "lesson"}
    for hint in hints:
        read_from(
            Path("hello.c"),
            f"{hint}\nint hello(void *ctx) {{ return 0; }}\nint hello_exec(void *ctx) {{ return 0; }}",
            Includes(Path("hello.c")),
        )


def test_the_example_is_a_program_at_execve() -> None:
    example = re.search(r"^    BPF_HASH.*?^    }$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert example is not None
    source = read_from(Path("counter.c"), example[0], Includes(Path("counter.c")))
    assert [program.events for program in source.programs] == [(parse("syscall:execve"),)]
