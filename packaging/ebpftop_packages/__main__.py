"""Make the packages that were asked for."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ebpftop_packages.project import CHECKOUT, BuildError, version
from ebpftop_packages.single_file import build_pex, build_wheel
from ebpftop_packages.system_package import build_system_package
from ebpftop_packages.system_tree import make_system_tree

KINDS = ("wheel", "deb", "rpm", "pex")
SUMS = "SHA256SUMS"


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="script/package", description="Make packages of this checkout.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all of them without any")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "dist", metavar="FOLDER", help="where they go: dist/")
    parser.add_argument(
        "--repository",
        metavar="URL",
        default=os.environ.get("EBPFTOP_REPOSITORY", ""),
        help="where the project is published, so that the long description has pictures and links",
    )
    args = parser.parse_args()
    if unknown := [kind for kind in args.kinds if kind not in KINDS]:
        parser.error(f"{unknown[0]} is not one of {', '.join(KINDS)}")
    return args


def build(kinds: tuple[str, ...], output: Path) -> list[Path]:
    """Make the packages of *kinds* in *output*; return their files. Raises BuildError."""
    made = []
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ebpftop-package-") as name:
        folder = Path(name)
        wheel = build_wheel(folder)
        if "wheel" in kinds:
            made.append(_deliver(wheel, output))
        if set(kinds) == {"wheel"}:
            return made
        pex = folder / f"ebpftop-{version()}.pex"
        _say("collecting the Python packages that ebpftop needs")
        build_pex(wheel, pex)
        if "pex" in kinds:
            made.append(_deliver(pex, output))
        for kind in ("deb", "rpm"):
            if kind in kinds:
                _say(f"making the .{kind}")
                root = folder / kind
                make_system_tree(pex, kind, root)
                made.append(_deliver(build_system_package(kind, root, folder), output))
    return made


def _deliver(file: Path, output: Path) -> Path:
    """Copy a file that is whole to its place, at once."""
    new = output / f".{file.name}.new"
    shutil.copy(file, new)
    return new.rename(output / file.name)


def _write_sums(output: Path) -> None:
    """Write the SHA-256 of each package in *output*, for `sha256sum --check`."""
    files = sorted(file for file in output.iterdir() if file.suffix in (".whl", ".deb", ".rpm", ".pex"))
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (output / SUMS).write_text("".join(lines))


def _say(words: str) -> None:
    print(f"script/package: {words}", file=sys.stderr)


def main() -> int:
    """Make them, and print their files; return 1 if one could not be made."""
    args = arguments()
    os.umask(0o022)
    os.environ["EBPFTOP_REPOSITORY"] = args.repository
    if not args.repository and (not args.kinds or "wheel" in args.kinds):
        _say("without --repository URL the long description of the wheel has no pictures, and its links are text")
    output = args.output.resolve()
    try:
        made = build(tuple(args.kinds) or KINDS, output)
    except BuildError as error:
        _say(str(error))
        return 1
    _write_sums(output)
    for file in made:
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
