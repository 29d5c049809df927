"""A little of everything that a kernel does for programs, for tools that watch it: python bcc_workload.py FOLDER"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path


def _do(folder: Path) -> None:
    libc = ctypes.CDLL(None)
    place = folder / "worked"
    for _ in range(3):
        place.write_bytes(b"x" * 300_000)
        with open(place, "r+b", buffering=0) as file:
            file.read()
            os.fsync(file.fileno())
        place.rename(folder / "renamed")
        (folder / "renamed").unlink()
        (folder / "made").mkdir()
        (folder / "made").rmdir()
        os.stat("/"), os.statvfs("/")
        with suppress(OSError):
            os.stat("/no/such/file")
    for command in (["true"], ["sh", "-c", ":"], ["mount", "-t", "tmpfs", "x", str(folder)]):
        subprocess.run(["unshare", "--mount", *command], check=False)
    os.sync()
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with suppress(OSError), socket.socket(family) as listens:
            listens.bind((host, 0))
            listens.listen()
            with socket.create_connection(listens.getsockname()[:2], 5) as one, listens.accept()[0] as other:
                one.sendall(b"x" * 10_000)
                other.recv(10_000)
                other.sendall(b"y")
                one.recv(1)
            with suppress(OSError):
                socket.create_connection((host, 1), 1)
    left, right = socket.socketpair()
    with left, right:
        socket.send_fds(left, [b"x"], [0])
        for fd in socket.recv_fds(right, 1, 1)[1]:
            os.close(fd)
    with suppress(OSError):
        socket.getaddrinfo("localhost", 80)
    threads = [threading.Thread(target=time.sleep, args=(0.05,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    segment = libc.shmget(0, 4096, 0o1600)
    libc.shmat.restype = ctypes.c_void_p
    address = libc.shmat(segment, None, 0)
    libc.shmdt(ctypes.c_void_p(address))
    libc.shmctl(segment, 0, None)
    end_s = time.monotonic() + 0.3
    while time.monotonic() < end_s:
        sum(range(1000))
        time.sleep(0)
    time.sleep(0.1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as own:
        _do(Path(own))
