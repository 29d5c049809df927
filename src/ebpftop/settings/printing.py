"""`--print-config`: the settings that hold, as TOML that can be the file."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from ebpftop.core.escape import printable
from ebpftop.settings.reading import dotted, quoted
from ebpftop.settings.rows import SETTINGS, TABLES, Path, default_of, kind_of
from ebpftop.settings.store import DEFAULT, Settings

_WIDTH = 120


def toml(value: object) -> str:
    """Return *value* as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dotted((key,))} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value!r}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(printable(text), _WIDTH - 2)]


def sentence(text: str) -> str:
    """Return *text* as a sentence."""
    return f"{text[0].upper()}{text[1:]}."


def printed(settings: Settings, command: str) -> str:
    """Return all settings, each with what it is, its default, and where its value comes from."""
    lines = _comment(f"The settings that hold for `ebpftop {command}`. Any part of this can be the file.")
    for file in settings.files:
        state = file.refused or ("" if file.is_there else "not there")
        lines += _comment(f"{file.name}{state and f' ({state})'}")
    if not settings.files:
        lines += _comment("no file")
    for setting in SETTINGS:
        default = default_of(setting.path)
        said = "none" if default is None else toml(setting.kind.write(default))
        lines += ["", *_comment(sentence(setting.about)), *_comment(f"Allowed: {setting.kind.allowed}.")]
        lines += _comment(f"Default: {said}. From: {settings.origin(setting.path)}.")
        lines.append(_line(setting.path, settings.value(setting.path)))
    for table in TABLES.values():
        entries = settings.entries(table)
        lines += ["", *_comment(sentence(table.about)), *_comment(f"Allowed: {table.entry.allowed}. Default: none.")]
        lines.append(f"[{table.name}]")
        lines += [] if entries else [f"# {table.example}"]
        for name, value in entries.items():
            path = (table.name, name)
            if settings.origin(path) != DEFAULT:
                lines += _comment(f"From: {settings.origin(path)}.")
            lines.append(_line(path, value))
    return "\n".join(lines) + "\n"


def _line(path: Path, value: Any) -> str:
    key = dotted(path[-1:])
    return f"# {key} =" if value is None else f"{key} = {toml(kind_of(path).write(value))}"
