"""Signs for terminals that do not have all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

import ebpftop
from ebpftop.core.glyphs import Glyphs, environment_at_start, fit, fitting, glyphs_of, heat_signs, key_name

# What fonts of the Linux console have besides Latin: drivers/tty/vt/cp437.uni.
CONSOLE = set("•○►◄▶◀▲▼♦◆←→↑↓─│┌┐└┘├┤┬┴┼═║█▄▀▌▐░▒▓≤≥√")
LATIN = {chr(code) for code in range(0x100)}


def written() -> set[str]:
    """Every character that is not ASCII in the source of the screen."""
    package = Path(ebpftop.__file__).parent
    files = [*package.glob("ui/**/*.py"), *package.glob("models/*.py"), package / "core/format.py"]
    return {character for file in files for character in file.read_text() if not character.isascii()}


def test_everything_is_replaced_by_as_many_cells() -> None:
    drawn = "● ○ ✗ † ▸ › ▼ ◆ · – │ ┃ … × ≤ ▁▂▃▄▅▆▇█ ░▒▓ ╭─╮ 12µs é 中文 ⏎ \u202e e\u0323"  # noqa: RUF001
    text = fit(drawn, Glyphs.ASCII)
    assert text.isascii()
    assert cell_len(text) == cell_len(drawn)
    assert text.startswith("o - x + > > v * . - | | ~ x < .:-=+*## :=# +-+ 12us ? ???? ")
    assert fit(drawn, Glyphs.ALL) is drawn
    assert fitting(Glyphs.ALL) is None
    assert fit("\x1b[1m plain", Glyphs.ASCII) == "\x1b[1m plain"


def test_the_console_gets_no_eighths_and_only_what_its_fonts_have() -> None:
    assert fit("▁▂▃▄▅▆▇█ ·░▒▓█ ●○ ✗†", Glyphs.CONSOLE) == "░░▒▒▓▓██ ·░▒▓█ •○ x+"
    for character in written():
        shown = fit(character, Glyphs.CONSOLE)
        assert cell_len(shown) == cell_len(character)
        assert shown.isascii() or set(shown) <= CONSOLE | LATIN, character


def test_the_palette_of_textual_has_no_sign_that_the_console_lacks() -> None:
    drawn = "🔎 ▔▔▁▁"
    assert fit(drawn, Glyphs.CONSOLE) == "/  ──░░"
    assert fit(drawn, Glyphs.ASCII) == "/  --.."


def test_each_sign_of_the_screen_has_one_of_its_own_in_ascii() -> None:
    unknown = {character for character in written() if "?" in fit(character, Glyphs.ASCII)}
    assert unknown == set()


def test_braille_is_never_drawn() -> None:
    assert not {character for character in written() if 0x2800 <= ord(character) < 0x2900}


@pytest.mark.parametrize(
    ("environment", "glyphs"),
    [
        ({"LANG": "de_DE.UTF-8"}, Glyphs.ALL),
        ({"LANG": "C.utf8"}, Glyphs.ALL),
        ({"LANG": "sr_RS.UTF-8@latin"}, Glyphs.ALL),
        ({}, Glyphs.ALL),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, Glyphs.ASCII),
        ({"LC_ALL": "", "LC_CTYPE": "POSIX", "LANG": "de_DE.UTF-8"}, Glyphs.ASCII),
        ({"LANG": "de_DE.ISO-8859-1"}, Glyphs.ASCII),
        ({"LANG": "de_DE@euro"}, Glyphs.ASCII),
        ({"LANG": "en_US"}, Glyphs.ASCII),
        ({"TERM": "linux", "LANG": "C.UTF-8"}, Glyphs.CONSOLE),
        ({"TERM": "linux-16color"}, Glyphs.CONSOLE),
        ({"TERM": "linux", "LC_ALL": "C"}, Glyphs.ASCII),
    ],
)
def test_the_locale_and_the_terminal_say_what_can_be_shown(environment: dict[str, str], glyphs: Glyphs) -> None:
    assert glyphs_of(environment) is glyphs


def test_keys_have_names_where_they_have_no_sign() -> None:
    assert [key_name(key, Glyphs.ASCII) for key in ("⏎", "␣", "⇥", "←", "q")] == ["Ret", "Spc", "Tab", "<-", "q"]
    assert [key_name(key, Glyphs.CONSOLE) for key in ("⏎", "←")] == ["Ret", "←"]
    assert key_name("⏎", Glyphs.ALL) == "⏎"


@pytest.mark.parametrize("variable", ["LC_ALL", "LC_CTYPE", "LANG"])
def test_python_does_not_hide_the_locale(variable: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LC_CTYPE", "LANG")}
    program = "from ebpftop.core.glyphs import *; print(glyphs_of(environment_at_start()).value)"
    said = subprocess.run(
        [sys.executable, "-c", program], env={**inherited, variable: "C"}, check=True, stdout=subprocess.PIPE, text=True
    )
    assert said.stdout == "ascii\n"
    assert environment_at_start()["PATH"]


def test_each_strength_of_a_heat_map_has_its_own_sign_in_ascii_too() -> None:
    for glyphs in Glyphs:
        signs = fit(heat_signs(glyphs), glyphs)
        assert len(set(signs)) == len(signs) == 6
    assert heat_signs(Glyphs.ASCII) == " .:=#@"
