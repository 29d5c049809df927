/* SPDX-License-Identifier: GPL-2.0-only */
/* The paths and the ends of the file descriptors of a traced call that has returned. Included by syscalls.c. */
#include "walk.h"

#define S_IFMT 0170000 /* include/uapi/linux/stat.h */
#define S_IFCHR 0020000
#define S_IFBLK 0060000
#define S_IFSOCK 0140000

INLINE char *file_of_fd(char *task, u32 fd)
{
	char *fdt = read_pointer(load_pointer(task, OFF_TASK_FILES), OFF_FILES_FDT);

	if (fd >= read_u32(fdt, OFF_FDTABLE_MAX_FDS))
		return NULL;
	return read_pointer(read_pointer(fdt, OFF_FDTABLE_FD), 8 * (u64)fd);
}

#ifdef OFF_SOCKET_SK
INLINE void fill_socket(struct socket_ends *ends, const char *file)
{
	char *sk = read_pointer(read_pointer(file, OFF_FILE_PRIVATE), OFF_SOCKET_SK);

	if (!sk)
		return;
	ends->type = 0;
	ends->protocol = 0;
	bpf_probe_read_kernel(&ends->type, 2, sk + OFF_SOCK_TYPE);
	bpf_probe_read_kernel(&ends->protocol, 2, sk + OFF_SOCK_PROTOCOL);
	bpf_probe_read_kernel(&ends->family, 2, sk + OFF_SOCK_FAMILY);
	bpf_probe_read_kernel(&ends->port, 2, sk + OFF_SOCK_NUM);
	bpf_probe_read_kernel(&ends->peer_port, 2, sk + OFF_SOCK_DPORT);
	ends->state = 0;
	bpf_probe_read_kernel(&ends->state, 1, sk + OFF_SOCK_STATE);
	if (ends->family == AF_INET) {
		bpf_probe_read_kernel(ends->address, 4, sk + OFF_SOCK_RCV_SADDR);
		bpf_probe_read_kernel(ends->peer, 4, sk + OFF_SOCK_DADDR);
	}
#ifdef OFF_SOCK_V6_DADDR
	else if (ends->family == AF_INET6) {
		bpf_probe_read_kernel(ends->address, 16, sk + OFF_SOCK_V6_RCV_SADDR);
		bpf_probe_read_kernel(ends->peer, 16, sk + OFF_SOCK_V6_DADDR);
	}
#endif
}
#else
INLINE void fill_socket(struct socket_ends *ends, const char *file)
{
}
#endif

/* Prepare the walk of what the descriptor *fd* is; *of*: which argument it is. */
INLINE void set_fd(struct scratch *scratch, u32 i, char *task, u8 of, s32 fd, bool is_dir)
{
	char *file = NULL;

	scratch->places.of[i] = of;
	scratch->places.socket[i].family = 0;
	if (of && is_dir && fd == AT_FDCWD) {
		set_path(scratch, i, load_pointer(task, OFF_TASK_FS), OFF_FS_PWD);
		return;
	}
	if (of && fd >= 0)
		file = file_of_fd(task, fd);
	set_file(scratch, i, file);
	if (!file)
		return;
	char *inode = read_pointer(file, OFF_FILE_INODE);
	u32 kind = read_u32(inode, OFF_INODE_MODE) & S_IFMT;

	if (kind == S_IFSOCK)
		fill_socket(&scratch->places.socket[i], file);
	if (kind == S_IFCHR || kind == S_IFBLK) {
		scratch->places.place[i].flags |= kind == S_IFCHR ? PLACE_CHAR : PLACE_BLOCK;
		scratch->places.place[i].inode = read_u32(inode, OFF_INODE_RDEV);
	}
}

INLINE u64 argument_of(const struct traced_call *call, u64 number)
{
	BOUND(number, 7);
	return number < ARGS ? call->args[number] : -1;
}

/* Prepare the walks of descriptors that are arguments. */
INLINE void set_arguments(struct scratch *scratch, const struct value_plans *plans, char *task)
{
	for (int i = 0; i < 2; i++) {
		u64 number = (plans->fd[i] & ~FILE_IS_DIR) - 1;

		set_fd(scratch, i, task, plans->fd[i] & ~FILE_IS_DIR, argument_of(&scratch->call, number),
		       plans->fd[i] & FILE_IS_DIR);
	}
}

/* Begin to append names at *at*, of what is prepared from place *first* on. */
INLINE void start_walk(struct scratch *scratch, char *task, u64 at, u64 first)
{
	struct walk *walk = &scratch->walk;
	char *fs = load_pointer(task, OFF_TASK_FS);

	*walk = (struct walk){.at = at, .place = first};
	if (fs) {
		walk->root.dentry = follow(fs, OFF_FS_ROOT + OFF_PATH_DENTRY);
		walk->root.mount = follow(fs, OFF_FS_ROOT + OFF_PATH_MNT) - OFF_MOUNT_MNT;
	}
}

/* Append the names of all places that are prepared, from place *first* on. */
INLINE void append_names(struct scratch *scratch, u64 first)
{
	struct walk *walk = &scratch->walk;

#pragma nounroll
	for (int step = 0; step < FILE_STEPS;) {
		u64 i = walk->place;

		if (i >= FILES)
			break;
		BOUND(i, FILES_MASK);
		go_up(scratch, &scratch->places.place[i], &scratch->paths[i], 0);
		step++;
		LOOP_END();
	}
#pragma nounroll
	for (int i = 0; i < FILES;) {
		if (i < first) {
			i++;
			continue;
		}
		if (i >= walk->place && scratch->places.place[i].flags & PLACE_KNOWN)
			scratch->places.place[i].flags |= PLACE_CUT;
		if (scratch->places.place[i].flags & PLACE_NAMELESS)
			fill_nameless(&scratch->places.place[i], scratch->paths[i].dentry);
		i++;
		LOOP_END();
	}
}

/* One entry per CPU: the loader sets the size. Two, since programs may be preempted: see ebpftop.h. */
BPF_ARRAY(traced_scratch, struct scratch, 1);
BPF_ARRAY(entered_scratch, struct scratch, 1);
