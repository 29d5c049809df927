/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a program runs: the file that runs, the current and the root directory, what fds 0 to 2 are, the terminal and
 * the session. Included by execs.c.
 *
 * A raw tracepoint may not call bpf_d_path, so paths are put together as the kernel does (fs/d_path.c): from the name of
 * the file up, over the mounts, to the root directory of the process. Nothing here is locked: a path that is renamed at
 * this moment may come out half old, half new.
 */
#define PATH_LEVELS 40 /* names and mounts of one path; what is above is missing */
#define STEPS 80 /* of all paths together */
#define FAILED_STEPS 44 /* the same of an execve that failed: up to six programs have this loop */
#define PATH_ROOM 2048 /* bytes of the names of one path */
#define NAME_LEN 256 /* NAME_MAX and the NUL */
#define TTY_LEN 16

#define PIDTYPE_SID 3 /* include/linux/pid_types.h, since 4.19 */
#define PIPEFS_MAGIC 0x50495045 /* include/uapi/linux/magic.h */
#define SOCKFS_MAGIC 0x534F434B
#define ANON_INODE_FS_MAGIC 0x09041934

enum place_name { PLACE_EXE, PLACE_CWD, PLACE_ROOT, PLACE_FD0, PLACE_FD1, PLACE_FD2, PLACES };
#define PLACES_MASK 7 /* at least PLACES - 1 */
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
};

struct place {
	u16 len; /* of the names: from the leaf up, each with its NUL */
	u16 flags; /* 0: there is none */
	u32 inode; /* of a pipe or a socket */
};

/* Behind struct event if it is of an execve. Layout known to src/ebpftop/probes/exec_places.py. */
struct places {
	struct place place[PLACES];
	u64 exe_inode;
	u32 sid;
	u32 unused;
	char tty[TTY_LEN];
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
