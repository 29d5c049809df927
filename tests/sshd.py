"""A real sshd on the loopback interface: own port, own keys, own configuration, ended by the test that started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

SEPARATION = Path("/run/sshd")
"""Where sshd of Debian separates its privileges; its service makes it, which does not run here."""
_STARTS_S = 60.0


class Sshd:
    """Hosts by names that all lead to this machine. `config` is the file for ``ssh -F``."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None or shutil.which("ssh") is None:
            pytest.fail("openssh-server is not installed: script/test does that")
        self._program = program
        self._folder = folder
        self.names = tuple(names)
        self.config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        with socket.socket() as probing:
            probing.bind(("127.0.0.1", 0))
            self.port: int = probing.getsockname()[1]
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {folder}/host_key\nPidFile {folder}/sshd.pid\n"
            f"AuthorizedKeysFile {folder}/user_key.pub\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nMaxStartups 100\nMaxSessions 100\n"
            "UseDNS no\nPrintMotd no\n"
        )
        self.config.write_text(
            f"Host {' '.join(self.names)}\n  HostName 127.0.0.1\n  Port {self.port}\n  User root\n"
            f"Host *\n  IdentityFile {folder}/user_key\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n  CheckHostIP no\n"
        )
        self.trust_key()

    def trust_key(self) -> None:
        """Let the host key be known."""
        key = (self._folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key}")

    @property
    def command(self) -> str:
        """For --ssh-command."""
        return f"ssh -F {self.config}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        SEPARATION.mkdir(exist_ok=True, mode=0o755)
        self._process = subprocess.Popen(
            [self._program, "-D", "-e", "-f", self._folder / "sshd_config"],
            stdin=subprocess.DEVNULL,
            stderr=(self._folder / "sshd.log").open("ab"),
            start_new_session=True,
        )
        until_s = time.monotonic() + _STARTS_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self._process.poll() is None, (self._folder / "sshd.log").read_text()
            assert time.monotonic() < until_s, "sshd does not listen"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, and all connections: as if the machine were gone."""
        process, self._process = self._process, None
        if process is None:
            return
        for pid in (*_descendants(process.pid), process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(_STARTS_S)


def _descendants(pid: int) -> list[int]:
    """Return the processes that *pid* started, and those that these did: each connection is one."""
    try:
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [one for child in children for one in (*_descendants(child), child)]
