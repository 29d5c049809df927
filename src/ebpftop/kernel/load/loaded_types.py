"""The types and lines of what BCC has compiled in this process: BCC hands out neither."""

from __future__ import annotations

import ctypes
import os
import struct

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.load.object_file import ExtInfo, btf_strings, ext_info, jit_objects, section

_BTF_INFO = struct.Struct("=QIIQII")  # struct bpf_btf_info: btf, btf_size, id, name, name_len, kernel_btf
_BTF_MAX = 16 << 20


def loaded_btf(fds_fd: int) -> bytes:
    """Return the BTF that BCC has loaded last in this process; empty if the kernel did not accept it.

    BCC does not hand it out. Descriptors of that kind are found in /proc/self/fd, which *fds_fd* stands for; where
    this process has compiled before, there may be some of then.
    """
    newest = (0, 0)
    for name in os.listdir(fds_fd):
        try:
            kind = os.readlink(name, dir_fd=fds_fd)
        except OSError:
            continue
        if "btf" in kind and kind.startswith("anon_inode:"):
            newest = max(newest, (_BTF_INFO.unpack_from(bpf_syscall.info(int(name)))[2], int(name)))
    return btf_of(newest[1]) if newest[0] else b""


def btf_of(fd: int) -> bytes:
    """Return the types that a descriptor of BTF stands for; raises OSError."""
    size = _BTF_INFO.unpack_from(bpf_syscall.info(fd))[1]
    blob = ctypes.create_string_buffer(min(size, _BTF_MAX))
    bpf_syscall.info(fd, _BTF_INFO.pack(ctypes.addressof(blob), len(blob), 0, 0, 0, 0))
    return blob.raw


def ext_info_of(library: ctypes.CDLL, btf: bytes) -> ExtInfo:
    if btf:
        for elf in jit_objects(library):
            if (ext := section(elf, ".BTF.ext")) is not None:
                return ext_info(ext, btf_strings(btf))
    return ExtInfo({}, {})
