"""The screens that a key opens: imported, and made, when the first picture has been drawn."""

from __future__ import annotations

from typing import Any

# They are not made in advance, but imported: the copy that was installed may be replaced by another one.
import ebpftop.ui.screens.diagnostics
import ebpftop.ui.screens.lesson_page
import ebpftop.ui.screens.lessons
import ebpftop.ui.screens.palette
import ebpftop.ui.screens.save_actions  # noqa: F401
from ebpftop.ui.screens.changed import ChangedScreen
from ebpftop.ui.screens.children import ChildrenScreen
from ebpftop.ui.screens.column_picker import ColumnsScreen
from ebpftop.ui.screens.copy_as import CopyScreen
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.go_to import GoScreen
from ebpftop.ui.screens.graph import GraphScreen
from ebpftop.ui.screens.help import HelpScreen
from ebpftop.ui.screens.leaving import LeaveScreen
from ebpftop.ui.screens.programs import ProgramsScreen
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.screens.save_dialog import SaveScreen
from ebpftop.ui.screens.settings import SettingsScreen
from ebpftop.ui.screens.syscall_details import SyscallScreen
from ebpftop.ui.screens.syscall_lists import ProcessScreen, TracedScreen, WaitingScreen
from ebpftop.ui.screens.tail_call_table import TableScreen
from ebpftop.ui.screens.trace_question import TraceScreen
from ebpftop.ui.screens.waits import WaitsScreen
from ebpftop.ui.screens.watch_list import WatchScreen
from ebpftop.ui.screens.workbench import WorkbenchScreen

MADE_IN_ADVANCE: tuple[type[ReadyScreen[Any]], ...] = (
    *(SheetScreen, SyscallScreen, ProcessScreen, ColumnsScreen, SaveScreen),
    *(CopyScreen, WatchScreen, GoScreen, ChildrenScreen, TraceScreen),
    *(WaitsScreen, ProgramsScreen, WaitingScreen, TableScreen, TracedScreen, SettingsScreen, GraphScreen, HelpScreen),
    *(ChangedScreen, LeaveScreen, WorkbenchScreen),
)
