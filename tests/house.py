"""Which module imports which, and the rooms that they lie in: read from the source, nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import ebpftop

PACKAGE = Path(ebpftop.__file__).parent

# The lowest first. What stands in one line with others knows nothing of them.
LAYERS = (
    ("filters",),
    ("core",),
    ("probes.registry",),
    ("lifecycle", "syscalls"),
    ("kernel", "models", "recording", "serving"),
    ("probes", "conversion"),
    ("settings", "sources", "fleet"),
    ("ui.answers", "ui.export", "ui.themes", "ui.textual_fixes", "ui.words"),
    ("ui.widgets",),
    ("ui.panes",),
    ("ui.registry",),
    ("ui.screens",),
    ("ui.app",),
    ("ui.fleet_app",),
    ("commands",),
    ("cli",),
    ("__main__",),
)


def modules() -> Mapping[str, Path]:
    """Every module by its name below ``ebpftop``; that itself is ""."""
    return {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix("."): file
        for file in PACKAGE.rglob("*.py")
    }


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Yield the modules that a module imports, at any place in it, for types too."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: names are whole here"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}".removeprefix("ebpftop.")
                yield f"ebpftop.{whole}" if whole in MODULES else node.module


@cache
def own_imports(name: str) -> frozenset[str]:
    return frozenset(found.partition(".")[2] for found in imports(name) if found.partition(".")[0] == "ebpftop")


def room_of(name: str) -> str:
    rooms = [room for layer in LAYERS for room in layer if name == room or name.startswith(f"{room}.")]
    return max(rooms, key=len, default="")


def level_of(room: str) -> int:
    return next((level for level, layer in enumerate(LAYERS) if room in layer), -1)
