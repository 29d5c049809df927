"""io_uring's operations by opcode: enum io_uring_op of include/uapi/linux/io_uring.h, the same on every machine."""

from __future__ import annotations

# fmt: off
_OPERATIONS = (
    "nop", "readv", "writev", "fsync", "read_fixed", "write_fixed", "poll_add", "poll_remove", "sync_file_range",
    "sendmsg", "recvmsg", "timeout", "timeout_remove", "accept", "async_cancel", "link_timeout", "connect",
    "fallocate", "openat", "close", "files_update", "statx", "read", "write", "fadvise", "madvise", "send", "recv",
    "openat2", "epoll_ctl", "splice", "provide_buffers", "remove_buffers", "tee", "shutdown", "renameat",
    "unlinkat", "mkdirat", "symlinkat", "linkat", "msg_ring", "fsetxattr", "setxattr", "fgetxattr", "getxattr",
    "socket", "uring_cmd", "send_zc", "sendmsg_zc", "read_multishot", "waitid", "futex_wait", "futex_wake",
    "futex_waitv", "fixed_fd_install", "ftruncate", "bind", "listen", "recv_zc", "epoll_wait", "readv_fixed",
    "writev_fixed", "pipe", "nop128", "uring_cmd128",
)
# fmt: on


def operation(opcode: int) -> str:
    """Return the name of an operation; ``op_200`` for one that is newer than this list.

    >>> operation(22), operation(200)
    ('read', 'op_200')
    """
    return _OPERATIONS[opcode] if opcode < len(_OPERATIONS) else f"op_{opcode}"
