"""What is not needed is not imported: it takes time at each start, and memory for as long as ebpftop runs."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

COMPILER = ("bcc", "ebpftop.kernel.bcc_compiler")
SCREEN = ("textual", "rich", "ebpftop.ui")

NOT_IMPORTED = {
    # The command line: `--help`, and every error of an argument.
    "ebpftop.cli.main": (
        *COMPILER,
        *SCREEN,
        "ebpftop.kernel",
        "ebpftop.sources",
        "ebpftop.recording",
        "ctypes",
        "asyncio",
    ),
    # Without a screen.
    "ebpftop.commands.stream": (*COMPILER, *SCREEN, "asyncio", "ssl"),
    "ebpftop.commands.record": (*COMPILER, *SCREEN, "asyncio", "ssl"),
    # What attaches probes, before the screen is imported.
    "ebpftop.commands.live": (*COMPILER, *SCREEN, "asyncio", "ssl"),
    "ebpftop.sources.live": (*COMPILER, *SCREEN, "asyncio", "ssl", "elftools"),
    # The screen: of recordings too, which need no kernel. No clipboard, browser, markdown, network.
    "ebpftop.ui.app": (
        *(*COMPILER, "ebpftop.kernel", "ebpftop.commands", "ebpftop.sources.live", "ebpftop.probes.base"),
        *("markdown_it", "pygments", "tree_sitter", "webbrowser", "http", "xml", "sqlite3", "unittest", "numpy"),
        *("textual.widgets._data_table", "textual.widgets._text_area", "textual.widgets._markdown", "textual.pilot"),
        # Screens that a key opens: after the first picture.
        *(f"ebpftop.ui.screens.{name}" for name in ("column_picker", "details", "diagnostics", "help", "live_modal")),
        *(f"ebpftop.ui.screens.{name}" for name in ("palette", "save_actions", "save_dialog", "syscall_details")),
        *("ebpftop.ui.screens.opened", "ebpftop.ui.screens.syscall_lists", "ebpftop.ui.screens.tail_call_table"),
    ),
}


@pytest.mark.parametrize("module", NOT_IMPORTED)
def test_importing_a_part_imports_nothing_that_it_does_not_need(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    imported = set(done.stdout.split())
    assert module in imported
    wrong = {name for name in imported for bad in NOT_IMPORTED[module] if name == bad or name.startswith(f"{bad}.")}
    assert wrong == set()


def test_a_test_that_imports_the_app_keeps_what_pytest_has_for_textual() -> None:
    importlib.import_module("ebpftop.ui.app")
    assert "TEXTUAL_SNAPSHOT_TEMPDIR" in os.environ
