/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The path of a file, put together as the kernel does (fs/d_path.c): from its name up, over the mounts, to the root
 * directory of the process. A raw tracepoint may not call bpf_d_path. Nothing here is locked: a path that is renamed at
 * this moment may come out half old, half new.
 *
 * Whoever includes walk.h defines struct scratch before, with what is used here: `walk`, and by place `paths` and
 * `places.place`; and `data`, of HEAD_MASK + 1 + NAME_LEN bytes at least, for the names.
 */
#ifndef EBPFTOP_WALK_TYPES_H
#define EBPFTOP_WALK_TYPES_H

#define PATH_LEVELS 40 /* names and mounts of one path; what is above is missing */
#define PATH_ROOM 2048 /* bytes of the names of one path */
#define NAME_LEN 256 /* NAME_MAX and the NUL */

#define PIPEFS_MAGIC 0x50495045 /* include/uapi/linux/magic.h */
#define SOCKFS_MAGIC 0x534F434B
#define ANON_INODE_FS_MAGIC 0x09041934

enum place_flag {
	PLACE_KNOWN = 1,
	PLACE_CUT = 2, /* the topmost names are missing */
	PLACE_DELETED = 4,
	PLACE_TOP = 8, /* the walk ended at the top of all mounts, not at the root directory of the process */
	PLACE_NAMELESS = 16, /* in no directory: the name, if there is one, is no path */
	PLACE_PIPE = 32,
	PLACE_SOCKET = 64,
	PLACE_ANON = 128,
	PLACE_AS_FD0 = 256, /* the same open file as fd 0 */
	PLACE_AS_FD1 = 512,
	PLACE_CHAR = 1024, /* a device: `inode` is its number */
	PLACE_BLOCK = 2048,
};

struct place {
	u16 len; /* of the names: from the leaf up, each with its NUL */
	u16 flags; /* 0: there is none */
	u32 inode; /* of a pipe or a socket; see PLACE_CHAR */
};

struct path {
	char *dentry;
	char *mount; /* struct mount */
};

/* What is found at one step of a walk. */
struct step {
	u64 parent;
	u64 name;
	u64 hashed;
	u64 mount_root;
	u64 mountpoint;
	u64 mount_parent;
};

/* Where the walk is: at which place, how many steps up from it. */
struct walk {
	struct step up;
	u64 at;
	struct path root;
	u64 place;
	u64 level;
};

#endif
