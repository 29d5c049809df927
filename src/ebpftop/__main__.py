"""The command `ebpftop`, and `python -m ebpftop`."""

from __future__ import annotations

from typing import NoReturn

from ebpftop.lifecycle import process


def main() -> NoReturn:
    """Run the command line; never returns."""
    process.arm()

    def command() -> int:
        from ebpftop.cli import main  # the first import that takes time

        return main()

    process.run(command)


if __name__ == "__main__":
    main()
