"""What is made of the parser: completion for shells, the manual page."""

from __future__ import annotations

import argparse
import builtins
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ebpftop.cli.commands import parser
from ebpftop.cli.main import main
from ebpftop.commands.completion import SHELLS
from ebpftop.settings.rows import SETTINGS

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "ebpftop", "--print-completion", "bash"], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    script = tmp_path_factory.mktemp("completion") / "ebpftop"
    script.write_text(done.stdout)
    return script


def completed(script: Path, *words: str) -> set[str]:
    """Return what bash offers for the last of *words*."""
    program = (
        f'source "$0"; COMP_WORDS=(ebpftop "$@"); COMP_CWORD={len(words)}; _shtab_ebpftop; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", program, script, *words], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["re"], {"record", "replay"}),
        (["stream", "--dur"], {"--duration"}),
        (["--ui"], {"--uid"}),  # `ebpftop` alone is `ebpftop live`
        (["live", "--clock", ""], {"local", "utc"}),
        (["demo", "--no-m"], {"--no-mouse"}),
        (["stream", "--no-m"], set()),
        (["stream", "--buffer", "r"], {"ring"}),
    ],
)
def test_bash_completes_commands_options_and_values(bash_script: Path, words: list[str], offered: set[str]) -> None:
    assert completed(bash_script, *words) == offered


def test_bash_completes_the_names_of_files(bash_script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert completed(bash_script, "replay", "mi") == {"mine.toml"}
    assert completed(bash_script, "diff", "mine.toml", "mi") == {"mine.toml"}
    assert completed(bash_script, "demo", "--config", "mi") == {"mine.toml"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_knows_every_command_and_option(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--print-completion={shell}"])
    assert ended.value.code == 0
    script = capfd.readouterr().out
    top = parser()
    for name, command in top.commands.items():
        assert name in script
        for action in command._actions:
            for option in action.option_strings if action.help != argparse.SUPPRESS else ():
                assert option.lstrip("-") in script


def test_another_shell_is_wrong_usage(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "csh"])
    assert ended.value.code == 2
    assert "'csh' is not one of bash, zsh, fish" in capfd.readouterr().err


def test_without_shtab_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = builtins.__import__

    def without(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        if name == "shtab":
            raise ImportError(name)
        return found(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["--print-completion", "bash"]) == 1
    assert "shtab is not installed" in (said := capfd.readouterr().err)
    assert "pip install 'ebpftop[completion]'" in said


def _options() -> Iterator[tuple[str, str]]:
    for name, command in parser().commands.items():
        for action in command._actions:
            yield from ((name, option) for option in action.option_strings)


def test_the_manual_page_is_that_of_the_parser() -> None:
    subprocess.run([sys.executable, CHECKOUT / "script/manpage", "--check"], check=True)


def test_settings_of_the_screen_are_options_of_every_command_with_a_screen() -> None:
    options = set(_options())
    for setting in SETTINGS:
        for command in ("live", "replay", "demo"):
            assert setting.group != "screen" or (command, f"--{setting.name}") in options
