"""One module imports bcc, and nobody imports that one before something must be compiled: bcc loads LLVM and clang."""

from __future__ import annotations

import ast

from tests.house import MODULES, imports

COMPILER = "kernel.bcc_compiler"


def imports_at_the_top(name: str) -> set[str]:
    """Return what a module imports when it is imported."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(MODULES[name].read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)
    return found


def test_one_module_imports_bcc() -> None:
    assert [name for name in MODULES if any(other.split(".")[0] == "bcc" for other in imports(name))] == [COMPILER]


def test_no_module_imports_it_when_it_is_imported_itself() -> None:
    assert [name for name in MODULES if f"ebpftop.{COMPILER}" in imports_at_the_top(name)] == []
    assert any(f"ebpftop.{COMPILER}" in imports(name) for name in MODULES)
