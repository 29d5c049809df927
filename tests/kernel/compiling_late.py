"""A program for test_privileges: compile after privileges were given up, and try to change what is compiled meanwhile.

Prints one JSON object: whether it compiled, the files that this user could write, and how many working directories
another thread saw.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from ebpftop.cli.commands import parser
from ebpftop.commands.kernel_options import open_kernel, options_of, root_work
from ebpftop.commands.redirect import redirect_stdio
from ebpftop.kernel import compiler
from ebpftop.kernel.defines import kernel_defines
from ebpftop.kernel.stub_headers import header_tree


def main() -> None:
    outputs = redirect_stdio()
    source = open_kernel(options_of(parser().parse_args(["stream", "--probes", "users"])), root_work())
    source.close()
    os.environ["EBPFTOP_CACHE"] = ""
    defines = kernel_defines()
    folders: set[tuple[int, int]] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            found = os.stat(".")  # getcwd(3) fails in a folder that has no name
            folders.add((found.st_dev, found.st_ino))

    with header_tree() as tree:
        places = [tree.folder, *tree.folder.rglob("*")]
        writable = [str(place.relative_to(tree.folder)) for place in places if _may_write(place)]
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        made = compiler.compiled("users.c", defines)
    finally:
        done.set()
        watcher.join()
    said = {"programs": len(made.programs), "files": len(places), "writable": writable, "folders": len(folders)}
    with os.fdopen(outputs.stdout_fd, "w", closefd=False) as out:
        json.dump(said, out)


def _may_write(place: Path) -> bool:
    """Tell whether its owner or mode let us, or any other process of our user, write."""
    found = place.stat()
    return found.st_uid == os.geteuid() or bool(found.st_mode & 0o022)


if __name__ == "__main__":
    main()
