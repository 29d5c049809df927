"""Structures of files and file systems in words, spelled as strace does. Layouts: include/uapi, 64-bit."""

from __future__ import annotations

from collections.abc import Mapping

from ebpftop.syscalls.flag_names import table
from ebpftop.syscalls.memory_structs import bits, numbers

_Pieces = Mapping[int, tuple[bytes, int]]

_FILE_TYPES = {
    **{0o010000: "S_IFIFO", 0o020000: "S_IFCHR", 0o040000: "S_IFDIR", 0o060000: "S_IFBLK"},
    **{0o100000: "S_IFREG", 0o120000: "S_IFLNK", 0o140000: "S_IFSOCK"},
}
_DEVICES = (0o020000, 0o060000)


def mode(value: int) -> str:
    """Return the mode of a file in words."""
    kind = _FILE_TYPES.get(value & 0o170000)
    bits = f"0{value & 0o777:o}" if value & 0o777 else "000"
    special = "".join(
        f"{name}|" for bit, name in ((0o4000, "S_ISUID"), (0o2000, "S_ISGID"), (0o1000, "S_ISVTX")) if value & bit
    )
    return f"{kind}|{special}{bits}" if kind else f"0{value:o}"


def _device(major: int, minor: int) -> str:
    return f"makedev({major:#x}, {minor:#x})"


def stat(pieces: _Pieces) -> str:
    """Show struct stat of x86-64 or arm64: the type, and the size, or the device that it is."""
    if len(pieces[0][0]) >= _STAT_X86:
        value, device, size = *numbers("=I", pieces, 24), *numbers("=qq", pieces, 40)
    else:
        value, device, size = *numbers("=I", pieces, 16), *numbers("=q", pieces, 32), *numbers("=q", pieces, 48)
    if value & 0o170000 in _DEVICES:
        major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
        return f"{{st_mode={mode(value)}, st_rdev={_device(major, minor)}, ...}}"
    return f"{{st_mode={mode(value)}, st_size={size}, ...}}"


_STAT_X86 = 144


def statx(pieces: _Pieces) -> str:
    """Show struct statx as far as strace does by default."""
    mask, _, attributes = numbers("=IIQ", pieces)
    (value,) = numbers("=H", pieces, 28)
    (size,) = numbers("=Q", pieces, 40)
    return (
        f"{{stx_mask={_mask(mask)}, stx_attributes={bits(attributes, _ATTRIBUTES)}, "
        f"stx_mode={mode(value)}, stx_size={size}, ...}}"
    )


_STATX = {
    **{0x1000: "STATX_MNT_ID", 0x2000: "STATX_DIOALIGN", 0x4000: "STATX_MNT_ID_UNIQUE", 0x8000: "STATX_SUBVOL"},
    **{0x10000: "STATX_WRITE_ATOMIC", 0x20000: "STATX_DIO_READ_ALIGN", 0x800: "STATX_BTIME"},
}
_BASIC = {
    **{1: "STATX_TYPE", 2: "STATX_MODE", 4: "STATX_NLINK", 8: "STATX_UID", 0x10: "STATX_GID", 0x20: "STATX_ATIME"},
    **{0x40: "STATX_MTIME", 0x80: "STATX_CTIME", 0x100: "STATX_INO", 0x200: "STATX_SIZE", 0x400: "STATX_BLOCKS"},
}
_ATTRIBUTES = {
    **{4: "STATX_ATTR_COMPRESSED", 0x10: "STATX_ATTR_IMMUTABLE", 0x20: "STATX_ATTR_APPEND", 0x40: "STATX_ATTR_NODUMP"},
    **{0x800: "STATX_ATTR_ENCRYPTED", 0x1000: "STATX_ATTR_AUTOMOUNT", 0x2000: "STATX_ATTR_MOUNT_ROOT"},
    **{0x100000: "STATX_ATTR_VERITY", 0x200000: "STATX_ATTR_DAX", 0x400000: "STATX_ATTR_WRITE_ATOMIC"},
}


def _mask(value: int) -> str:
    if value & 0x7FF == 0x7FF:
        rest = value & ~0x7FF
        return "STATX_BASIC_STATS" + (f"|{bits(rest, dict(sorted(_STATX.items())))}" if rest else "")
    return bits(value, _BASIC | _STATX)


# include/uapi/linux/magic.h
_FILE_SYSTEMS = {
    **table(
        "",
        "ADFS_SUPER_MAGIC=0xadf5 AUTOFS_SUPER_MAGIC=0x187 CEPH_SUPER_MAGIC=0xc36400 CRAMFS_MAGIC=0x28cd3d45 "
        "DEBUGFS_MAGIC=0x64626720 SECURITYFS_MAGIC=0x73636673 SELINUX_MAGIC=0xf97cff8c RAMFS_MAGIC=0x858458f6 "
        "TMPFS_MAGIC=0x1021994 HUGETLBFS_MAGIC=0x958458f6 SQUASHFS_MAGIC=0x73717368 ECRYPTFS_SUPER_MAGIC=0xf15f "
        "EROFS_SUPER_MAGIC_V1=0xe0f5e1e2 EXT2_SUPER_MAGIC=0xef53 XENFS_SUPER_MAGIC=0xabba1974 "
        "BTRFS_SUPER_MAGIC=0x9123683e NILFS_SUPER_MAGIC=0x3434 F2FS_SUPER_MAGIC=0xf2f52010 ISOFS_SUPER_MAGIC=0x9660 "
        "XFS_SUPER_MAGIC=0x58465342 PSTOREFS_MAGIC=0x6165676c EFIVARFS_MAGIC=0xde5e81e4 "
        "OVERLAYFS_SUPER_MAGIC=0x794c7630 FUSE_SUPER_MAGIC=0x65735546 MSDOS_SUPER_MAGIC=0x4d44 "
        "EXFAT_SUPER_MAGIC=0x2011bab0 NFS_SUPER_MAGIC=0x6969 OCFS2_SUPER_MAGIC=0x7461636f "
        "REISERFS_SUPER_MAGIC=0x52654973 SMB_SUPER_MAGIC=0x517b CIFS_SUPER_MAGIC=0xff534d42 "
        "SMB2_SUPER_MAGIC=0xfe534d42 CGROUP_SUPER_MAGIC=0x27e0eb CGROUP2_SUPER_MAGIC=0x63677270 "
        "RDTGROUP_SUPER_MAGIC=0x7655821 TRACEFS_MAGIC=0x74726163 V9FS_MAGIC=0x1021997 BDEVFS_MAGIC=0x62646576 "
        "BINFMTFS_MAGIC=0x42494e4d DEVPTS_SUPER_MAGIC=0x1cd1 BINDERFS_SUPER_MAGIC=0x6c6f6f70 PIPEFS_MAGIC=0x50495045 "
        "PROC_SUPER_MAGIC=0x9fa0 SOCKFS_MAGIC=0x534f434b SYSFS_MAGIC=0x62656572 ANON_INODE_FS_MAGIC=0x9041934 "
        "NSFS_MAGIC=0x6e736673 BPF_FS_MAGIC=0xcafe4a11 ZONEFS_MAGIC=0x5a4f4653 UDF_SUPER_MAGIC=0x15013346 "
        "DMA_BUF_MAGIC=0x444d4142 SECRETMEM_MAGIC=0x5345434d",
    )
}
_MOUNTED = table(
    "ST_",
    "VALID=0x20 RDONLY=1 NOSUID=2 NODEV=4 NOEXEC=8 SYNCHRONOUS=0x10 MANDLOCK=0x40 NOATIME=0x400 NODIRATIME=0x800 "
    "RELATIME=0x1000 NOSYMFOLLOW=0x2000",
)


def file_system(pieces: _Pieces) -> str:
    """Show struct statfs."""
    kind, size, blocks, free, available, files, free_files, *rest = numbers("=7q2Iqqq", pieces)
    first, second, longest, fragment, flags = rest
    ids = ", ".join(hex(value) if value else "0" for value in (first, second))
    return (
        f"{{f_type={_FILE_SYSTEMS.get(kind, hex(kind))}, f_bsize={size}, f_blocks={blocks}, f_bfree={free}, "
        f"f_bavail={available}, f_files={files}, f_ffree={free_files}, f_fsid={{val=[{ids}]}}, "
        f"f_namelen={longest}, f_frsize={fragment}, f_flags={bits(flags, _MOUNTED)}}}"
    )


_LOCKS = {0: "F_RDLCK", 1: "F_WRLCK", 2: "F_UNLCK"}
_WHENCE = {0: "SEEK_SET", 1: "SEEK_CUR", 2: "SEEK_END"}


def _lock(pieces: _Pieces) -> tuple[str, int]:
    kind, whence, start, length, pid = numbers("=hh4xqqi", pieces)
    named, place = _LOCKS.get(kind, hex(kind)), _WHENCE.get(whence, hex(whence))
    return f"l_type={named}, l_whence={place}, l_start={start}, l_len={length}", pid


def lock(pieces: _Pieces) -> str:
    """Show struct flock that is asked for."""
    return f"{{{_lock(pieces)[0]}}}"


def lock_found(pieces: _Pieces) -> str:
    """Show struct flock that was found, and whose it is."""
    text, pid = _lock(pieces)
    return f"{{{text}, l_pid={pid}}}"
