"""In a guest, each Python imports this first: what ebpftop compiles is compiled outside (tests/vm/outside.py)."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

_PATCHED = "ebpftop.kernel.compile_helper"


class _Patching(importlib.abc.MetaPathFinder):
    """Finds the one module, and has it changed when it is there: nothing else is imported for its sake."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _PATCHED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        # Beside this file; only here, because it imports what it changes.
        asking = importlib.import_module("asking_outside")
        module.__dict__["compile_here"] = asking.ask_outside(module.__dict__["compile_here"])


sys.meta_path.insert(0, _Patching())
