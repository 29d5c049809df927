/* SPDX-License-Identifier: GPL-2.0-only */
/* Walks from a file up to the root directory: see walk_types.h. */
#ifndef EBPFTOP_WALK_H
#define EBPFTOP_WALK_H

/*
 * Pointers of the kernel's structures that were found in memory, with their types: then they are loaded by an instruction
 * (see current_task()). Kernels before 6.2 cannot say a type, and read by a helper.
 */
#ifdef HAVE_RDONLY_CAST
INLINE char *typed(const char *pointer, u64 struct_id)
{
	return ((char *(*)(const char *, u64))(KFUNC_MARK | RDONLY_CAST_ID))(pointer, struct_id);
}

#define AS_FILE(pointer) typed(pointer, FILE_STRUCT_ID)
#define AS_DENTRY(pointer) typed(pointer, DENTRY_STRUCT_ID)
#define AS_MOUNT(pointer) typed(pointer, MOUNT_STRUCT_ID)
#define follow(base, offset) load_pointer(base, offset)
#else
#define AS_FILE(pointer) ((char *)(pointer))
#define AS_DENTRY(pointer) ((char *)(pointer))
#define AS_MOUNT(pointer) ((char *)(pointer))
#define follow(base, offset) read_pointer(base, offset)
#endif

/* *from*: a structure with a struct path at *offset*, whose type the verifier knows. */
INLINE void set_path(struct scratch *scratch, u32 name, const char *from, u64 offset)
{
	struct path *path = &scratch->paths[name];
	struct place *place = &scratch->places.place[name];

	place->len = 0;
	place->inode = 0;
	path->dentry = from ? follow(from, offset + OFF_PATH_DENTRY) : NULL;
	place->flags = path->dentry ? PLACE_KNOWN : 0;
	if (path->dentry)
		path->mount = follow(from, offset + OFF_PATH_MNT) - OFF_MOUNT_MNT;
}

INLINE void set_file(struct scratch *scratch, u32 name, const char *file)
{
	set_path(scratch, name, file ? AS_FILE(file) : NULL, OFF_FILE_PATH);
}

/* A file in no directory is its own parent; a pipe or a socket is known by its inode. */
INLINE void fill_nameless(struct place *place, const char *dentry)
{
	u64 magic = read_u64(read_pointer(dentry, OFF_DENTRY_SB), OFF_SB_MAGIC);

	if (magic == PIPEFS_MAGIC)
		place->flags |= PLACE_PIPE;
	else if (magic == SOCKFS_MAGIC)
		place->flags |= PLACE_SOCKET;
	else if (magic == ANON_INODE_FS_MAGIC)
		place->flags |= PLACE_ANON;
	place->inode = read_u64(read_pointer(dentry, OFF_DENTRY_INODE), OFF_INODE_INO);
}

/* 1 or 0, without a branch: see at_least_0(). */
INLINE u64 is_zero(u64 value)
{
	u64 sign = value | -value; /* the topmost bit is set unless it is 0 */

	asm volatile("" : "+r"(sign));
	return (sign >> 63) ^ 1;
}

INLINE u64 is_more(u64 value, u64 limit)
{
	u64 difference = limit - value;

	asm volatile("" : "+r"(difference));
	return difference >> 63;
}

/* *condition* is 1 or 0. */
INLINE u64 choose(u64 condition, u64 yes, u64 no)
{
	u64 mask = -condition;

	asm volatile("" : "+r"(mask));
	return (yes & mask) | (no & ~mask);
}

/*
 * One step up: appends a name, or goes on where the file system is mounted.
 *
 * The verifier looks at each step, and in each at both sides of every branch. So there is none, and all that a step leaves
 * for the next is in memory.
 */
INLINE void go_up(struct scratch *scratch, struct place *place, struct path *path, u64 is_root)
{
	struct walk *walk = &scratch->walk;
	char *dentry = AS_DENTRY(path->dentry), *mount = AS_MOUNT(path->mount);

	walk->up = (struct step){
		.parent = (u64)follow(dentry, OFF_DENTRY_PARENT),
		.name = (u64)follow(dentry, OFF_DENTRY_NAME),
		.hashed = (u64)follow(dentry, OFF_DENTRY_HASHED),
		.mount_root = (u64)follow(mount, OFF_MOUNT_MNT + OFF_VFSMOUNT_ROOT),
		.mountpoint = (u64)follow(mount, OFF_MOUNT_MOUNTPOINT),
		.mount_parent = (u64)follow(mount, OFF_MOUNT_PARENT),
	};
	/* Now numbers, no pointers to the verifier. */
	volatile struct step *up = &walk->up;
	u64 here = (u64)path->dentry, on = (u64)path->mount, parent = up->parent, mount_parent = up->mount_parent;
	u64 flags = place->flags, level = walk->level;
	/* The root directory itself may have a name where it is mounted. */
	u64 arrived = (is_zero((here ^ (u64)walk->root.dentry) | (on ^ (u64)walk->root.mount)) & ~is_root) |
		      is_zero(flags & PLACE_KNOWN);
	u64 cut = (is_more(level, PATH_LEVELS - 1) | is_more(place->len, PATH_ROOM - NAME_LEN)) & ~arrived;
	u64 crosses = is_zero(here ^ up->mount_root) & ~(arrived | cut);
	u64 at_top = crosses & is_zero(on ^ mount_parent);
	u64 names = 1 & ~(arrived | cut | crosses);
	u64 nameless = names & is_zero(here ^ parent);
	u64 deleted = names & ~nameless & is_zero(place->len | up->hashed);
	u64 ends = arrived | cut | at_top | nameless;
	u64 at = walk->at, room = names * NAME_LEN;

	place->flags =
		flags | cut * PLACE_CUT | at_top * PLACE_TOP | nameless * PLACE_NAMELESS | deleted * PLACE_DELETED;
	BOUND(at, HEAD_MASK);
	BOUND(room, 2 * NAME_LEN - 1);
	u64 len = at_least_0(bpf_probe_read_kernel_str(scratch->data + at, room, (void *)up->name));

	walk->at = at + len;
	place->len += len;
	path->dentry = (char *)choose(crosses, up->mountpoint, parent);
	path->mount = (char *)choose(crosses, mount_parent, on);
	walk->place += ends;
	walk->level = (level + 1) * (ends ^ 1);
}

#endif
