"""script/install, script/run and the wheel, with real venvs. 70 s of processor time, mostly pip."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from ebpftop.probes.registry import registry
from tests.kernel.support import Stream, needs_root, of
from tests.kernel.test_privileges import terminal

pytestmark = [needs_root, pytest.mark.timeout(400)]

CHECKOUT = Path(__file__).resolve().parents[2]
NOBODY, NOGROUP = 65534, 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOGROUP}", "--clear-groups")
FIND_LINKS = "PIP_FIND_LINKS"


SHARES = (
    *("/man", "/man/man1", "/bash-completion", "/bash-completion/completions", "/zsh", "/zsh/site-functions"),
    *("/fish", "/fish/vendor_completions.d"),
)
"""Folders below /usr/local/share that stay, empty."""


class Done(NamedTuple):
    status: int
    said: str


def run(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path = Path("/")) -> Done:
    """Run a command somewhere else than in the checkout."""
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    return Done(done.returncode, done.stdout)


def tree(root: Path) -> dict[str, tuple[int, int, int, str]]:
    """Return mode, owner, group and content of all that lies below *root*."""
    found = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
        found[str(path.relative_to(root))] = (info.st_mode, info.st_uid, info.st_gid, content)
    return found


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="ebpftop-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def pip(place: Path) -> dict[str, str]:
    """An environment in which pip finds all that it may ask for without a network: out of its cache, once."""
    wheels = place / "wheels"
    needs = (f"{CHECKOUT}[completion,perfetto]", "hatchling", "editables")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "-w", wheels, *needs], check=True)
    wheels.chmod(0o755)
    next(wheels.glob("ebpftop-*")).unlink()
    return {"PIP_NO_INDEX": "1", FIND_LINKS: str(wheels), "PIP_EXTRA_INDEX_URL": ""}


@pytest.fixture(scope="module")
def root(place: Path) -> Path:
    """A root folder with an older copy, and a link into a checkout as the README once had it."""
    root = place / "root"
    for folder in ("opt", "usr/bin", "usr/local/bin", "var/cache"):
        (root / folder).mkdir(parents=True)
    return root


def make_older(root: Path) -> None:
    old = root / "opt/ebpftop/copy-older0/bin"
    old.mkdir(parents=True)
    (old / "ebpftop").write_text("#!/bin/sh\necho older\n")
    (old / "ebpftop").chmod(0o755)
    (root / "opt/ebpftop/.made-by-ebpftop-script-install").touch()
    (root / "opt/ebpftop/current").symlink_to("copy-older0")
    (root / "usr/local/bin/ebpftop").symlink_to("/home/somebody/ebpftop/.venv/bin/ebpftop")


@pytest.fixture(scope="module")
def sudo_without_local(place: Path) -> str:
    """A PATH with a sudo whose secure_path has no /usr/local/bin, as on Fedora."""
    folder = place / "sudo"
    folder.mkdir()
    (folder / "sudo").write_text(
        "#!/bin/sh\n"
        'echo Sudo version 1.9; echo "Value to override user\'s \\$PATH with: /sbin:/bin:/usr/sbin:/usr/bin"\n'
    )
    (folder / "sudo").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def installed(root: Path, pip: Mapping[str, str], sudo_without_local: str) -> Iterator[Path]:
    """The root folder after an installation over an older copy; what it was before is there again at the end."""
    before, checkout = tree(root), tree_of_checkout()
    make_older(root)
    older = tree(root)

    failed = run(CHECKOUT / "script/install", "--root", root, env={**pip, FIND_LINKS: str(root)})
    assert failed.status == 1, failed.said
    assert "is the package index reachable?" in failed.said
    assert tree(root) == older, "a failed installation changed something"

    done = run(CHECKOUT / "script/install", "--root", root, env={**pip, "PATH": sudo_without_local})
    assert done.status == 0, done.said
    assert "which led into a checkout" in done.said
    assert "sudo does not look into /usr/local/bin" in done.said
    yield root
    done = run(CHECKOUT / "script/install", "--uninstall", "--root", root)
    assert done.status == 0, done.said
    links = ("usr/local/bin/ebpftop", "usr/bin/ebpftop", "usr/local/share/man/man1/ebpftop.1")
    for removed in ("opt/ebpftop", *links, "var/cache/ebpftop"):
        assert f"removed {root}/{removed}\n" in done.said
    made = {f"usr/local/share{folder}" for folder in ("", *SHARES)}
    assert {name: what for name, what in tree(root).items() if name not in made} == before
    again = run(CHECKOUT / "script/install", "--uninstall", "--root", root)
    assert again.status == 0
    assert "removed" not in again.said
    assert tree_of_checkout() == checkout


def tree_of_checkout() -> set[Path]:
    """Return the names of what lies in the source folders of the checkout."""
    return {path for folder in ("src", "bpf", "script") for path in (CHECKOUT / folder).rglob("*")}


def test_only_root_can_change_what_was_installed(installed: Path) -> None:
    opt = installed / "opt/ebpftop"
    for path in (opt, *opt.rglob("*")):
        info = path.lstat()
        assert (info.st_uid, info.st_gid) == (0, 0), path
        assert path.is_symlink() or not stat.S_IMODE(info.st_mode) & 0o022, path
    assert len(list(opt.glob("copy-*"))) == 1
    assert (opt / "current").resolve().parent == opt
    for place in ("usr/local/bin", "usr/bin"):
        assert os.readlink(installed / place / "ebpftop") == str(opt / "current/bin/ebpftop")
    assert (installed / "var/cache/ebpftop").is_dir()


def test_the_copy_is_compiled_and_does_not_depend_on_the_checkout(installed: Path) -> None:
    package = next((installed / "opt/ebpftop/current/lib").glob("python3*/site-packages/ebpftop"))
    compiled = {path.name.partition(".")[0] for path in (package / "__pycache__").iterdir()}
    assert compiled == {path.stem for path in package.glob("*.py")}
    assert (package / "bpf/execs.c").read_bytes() == (CHECKOUT / "bpf/execs.c").read_bytes()
    for path in (package.parent).glob("*.pth"):
        assert str(CHECKOUT) not in path.read_text()
    first = (installed / "usr/local/bin/ebpftop").read_text().splitlines()[0]
    assert first == f"#!{(installed / 'opt/ebpftop/current').resolve()}/bin/python -I"


def test_man_and_the_shells_find_their_pages(installed: Path) -> None:
    share = installed / "usr/local/share"
    page = (share / "man/man1/ebpftop.1").read_text()
    assert page == (CHECKOUT / "docs/ebpftop.1").read_text()
    bash = run("bash", "-c", f". {share}/bash-completion/completions/ebpftop && complete -p ebpftop")
    assert bash.status == 0, bash.said
    assert (share / "zsh/site-functions/_ebpftop").read_text().startswith("#compdef ebpftop")
    assert "complete -c ebpftop" in (share / "fish/vendor_completions.d/ebpftop.fish").read_text()


def test_an_ordinary_user_may_run_it(installed: Path) -> None:
    program = installed / "usr/local/bin/ebpftop"
    assert run(*AS_NOBODY, program, "--version") == Done(0, f"ebpftop {version()}\n")
    check = run(*AS_NOBODY, program, "check")
    assert check.status == 3
    assert "run it as root: sudo ebpftop" in check.said
    with terminal("demo", env={}, program=(*AS_NOBODY, str(program))) as demo:
        demo.wait_for(b"Exec log")
        demo.press(b"q")
        demo.read(1)


def version() -> str:
    from ebpftop import __version__

    return __version__


AMBIENT = (
    # tracefs is there, as on most machines, and for this test alone.
    *("unshare", "--mount", "sh", "-c"),
    'mountpoint -q /sys/kernel/tracing || mount -t tracefs nodev /sys/kernel/tracing; exec "$@"',
    *("sh", *AS_NOBODY, "--inh-caps", "+bpf,+perfmon", "--ambient-caps", "+bpf,+perfmon"),
)


def test_without_root_all_works_but_what_tracefs_forbids_which_says_so(installed: Path) -> None:
    program = installed / "usr/local/bin/ebpftop"
    stream = Stream("--interval", "0.5")
    stream.command[:3] = [*AMBIENT, str(program)]
    with stream:
        # On a machine that has nothing else to do, no other program starts meanwhile.
        child = subprocess.Popen(["/bin/true"])
        assert child.wait() == 0
        stream.wait_for(lambda lines: of("trace", lines, pid=child.pid), 60)
        stream.wait_for(lambda lines: any(line["rows"] for line in of("syscalls", lines)), 60)
        stream.wait_for(lambda lines: of("cost", lines), 60)
        lines = stream.stop()
    assert (stream.status, stream.stderr) == (130, "")
    states = {line["probe"]: line for line in of("probe", lines)}
    assert {name: line["state"] for name, line in states.items()} == dict.fromkeys(registry().on, "on")
    said = of("trace", lines, pid=child.pid)
    # Another ebpftop says it too, and without root it is not known who prints.
    assert {line["message"] for line in said} == {"Hello World!"}, "a program of ours hands over the lines"
    attempts = {attempt["via"]: attempt["reason"] for attempt in states["trace"]["attempts"]}
    assert "tracefs belongs to root" in attempts["lines: instance"]
    assert attempts["lines: raw_tracepoint:bpf_trace_printk"] is None
    assert {line["kernel"] for line in of("cost", lines)} == {None}
    check = run(*AMBIENT, program, "check")
    assert check.status == 0
    assert "Traceback" not in check.said
    assert "tracefs belongs to root" in check.said
    assert "cache of compiled programs: disabled: /var/cache/ebpftop: it belongs to root" in check.said


@pytest.mark.parametrize("what", ["opt/ebpftop", "usr/local/bin/ebpftop"])
def test_what_is_somebody_elses_is_neither_replaced_nor_removed(what: str, tmp_path: Path) -> None:
    for folder in ("opt", "usr/local/bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / what).mkdir()
    (tmp_path / what / "precious").touch()
    before = tree(tmp_path)
    done = run(CHECKOUT / "script/install", "--root", tmp_path)
    assert done.status == 1
    assert f"{what} is" in done.said
    assert "move it away" in done.said
    run(CHECKOUT / "script/install", "--uninstall", "--root", tmp_path)
    assert tree(tmp_path) == before


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt").chmod(0o777)
    done = run(CHECKOUT / "script/install", "--root", tmp_path)
    assert (done.status, f"others than root may write in {tmp_path}/opt; chmod go-w" in done.said) == (1, True)
    (tmp_path / "opt").chmod(0o755)
    os.chown(tmp_path / "opt", NOBODY, NOGROUP)
    done = run(CHECKOUT / "script/install", "--root", tmp_path)
    assert (done.status, "chown root" in done.said) == (1, True)


@pytest.mark.parametrize(("arguments", "status"), [(("--help",), 0), (("--nonsense",), 2), (("--root",), 2)])
def test_it_says_how_it_is_used(arguments: tuple[str, ...], status: int) -> None:
    done = run(CHECKOUT / "script/install", *arguments)
    assert (done.status, "--uninstall" in done.said) == (status, True)


def test_it_needs_root() -> None:
    done = run(*AS_NOBODY, CHECKOUT / "script/install")
    assert (done.status, "needs root" in done.said) == (3, True)


# BCC is nowhere, as on a machine where nobody installed it.
WITHOUT_BCC = (
    *("unshare", "--mount", "sh", "-c"),
    'for f in /usr/lib/python3/dist-packages/bcc; do test ! -e $f || mount -t tmpfs none $f; done; exec "$@"',
    "sh",
)


# ---- The wheel ----


@pytest.fixture(scope="module")
def wheel(place: Path, pip: Mapping[str, str]) -> Path:
    """The wheel of this checkout."""
    folder = place / "wheel"
    done = run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, CHECKOUT, env=pip)
    assert done.status == 0, done.said
    return next(folder.glob("ebpftop-*.whl"))


def environment(folder: Path, wheel: Path, pip: Mapping[str, str], *options: str) -> Path:
    """Return the command of an installation in an environment of its own, made as pipx makes it."""
    made = run("/usr/bin/python3", "-m", "venv", "--without-pip", *options, folder)
    assert made.status == 0, made.said
    done = run(sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "-q", wheel, env=pip)
    assert done.status == 0, done.said
    return folder / "bin/ebpftop"


def test_the_wheel_runs_where_the_distributions_packages_are_seen(
    place: Path, wheel: Path, pip: Mapping[str, str]
) -> None:
    program = environment(place / "sees", wheel, pip, "--system-site-packages")
    assert run(program, "--version", env={"LC_ALL": "C"}) == Done(0, f"ebpftop {version()}\n")
    check = run(program, "check", env={"EBPFTOP_CACHE": str(place / "cache"), "LC_ALL": "C"})
    assert check.status == 0, check.said
    assert "Traceback" not in check.said
    assert "execs" in check.said
    with terminal("demo", env={"LC_ALL": "C"}, program=(*WITHOUT_BCC, *AS_NOBODY, str(program))) as demo:
        demo.wait_for(b"Exec log")
        demo.press(b"q")
        demo.read(1)
    page = place / "sees/share/man/man1/ebpftop.1"
    assert page.read_text() == (CHECKOUT / "docs/ebpftop.1").read_text()


def test_where_they_are_not_seen_it_says_what_to_do(place: Path, wheel: Path, pip: Mapping[str, str]) -> None:
    program = environment(place / "blind", wheel, pip)
    assert run(program, "--version") == Done(0, f"ebpftop {version()}\n")
    check = run(program, "check")
    assert check.status == 1
    assert "-m venv --system-site-packages FOLDER" in check.said
    (place / "blind/pipx_metadata.json").touch()
    assert "pipx install --force --system-site-packages ebpftop" in run(program, "check").said


# ---- script/run ----


def test_script_run_demo_needs_neither_root_nor_bcc_and_is_upgraded_later(place: Path, pip: Mapping[str, str]) -> None:
    checkout, home = place / "checkout", place / "home"
    names = subprocess.run(
        ["git", "-C", CHECKOUT, "ls-files", "-co", "--exclude-standard"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()
    for name in names:
        if not name.startswith(("tests/", "screenshots/")) and (CHECKOUT / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, checkout / name)
    home.mkdir()
    for path in (home, checkout, *checkout.rglob("*")):
        os.chown(path, NOBODY, NOGROUP)
    script = str(checkout / "script/run")
    env = {**pip, "HOME": str(home)}

    refused = run(*WITHOUT_BCC, *AS_NOBODY, script, "stream", env=env)
    assert refused.status == 3
    assert f"run once as root: sudo {script} stream" in refused.said

    with terminal("demo", env=env, program=(*WITHOUT_BCC, *AS_NOBODY, script)) as demo:
        demo.wait_for(b"Exec log", 200)
        demo.press(b"q")
        demo.read(1)
    assert run(*AS_NOBODY, script, "--version", env=env) == Done(0, f"ebpftop {version()}\n")
    assert (checkout / ".venv/installed").read_text().splitlines()[2] == "-"

    upgraded = run(script, "stream", "--help", env=env)
    assert upgraded.status == 0, upgraded.said
    assert "root runs programs here that nobody may change" in upgraded.said
    assert (checkout / ".venv/installed").read_text().splitlines()[2].endswith("bcc/__init__.py")
    # What root did in there belongs to the user whose checkout it is, who can go on.
    assert {path.lstat().st_uid for path in checkout.rglob("*")} == {NOBODY}
    assert run(*AS_NOBODY, script, "--version", env=env) == Done(0, f"ebpftop {version()}\n")
