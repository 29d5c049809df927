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

/* Append the names of what the descriptors of the call are. */
INLINE void append_files(struct scratch *scratch, char *task)
{
	u32 slot = scratch->call.slot;
	struct value_plans *plans = call_values.lookup(&slot);
	struct walk *walk = &scratch->walk;

	scratch->names_len = 0;
	if (!plans)
		return;
	s64 ret = scratch->call.ret;

	for (int i = 0; i < 2; i++) {
		u64 number = (plans->fd[i] & ~FILE_IS_DIR) - 1;

		set_fd(scratch, i, task, plans->fd[i] & ~FILE_IS_DIR, argument_of(&scratch->call, number),
		       plans->fd[i] & FILE_IS_DIR);
	}
	set_fd(scratch, 2, task, plans->returns_fd && ret >= 0 ? FILE_OF_RESULT : 0, ret, false);
	set_file(scratch, FILE_OF_PROCESS,
		 PARAMETER(STACKS) ? read_pointer(load_pointer(task, OFF_TASK_MM), OFF_MM_EXE_FILE) : NULL);
	char *fs = load_pointer(task, OFF_TASK_FS);
	u64 at = scratch->values_len;

	*walk = (struct walk){.at = at};
	if (fs) {
		walk->root.dentry = follow(fs, OFF_FS_ROOT + OFF_PATH_DENTRY);
		walk->root.mount = follow(fs, OFF_FS_ROOT + OFF_PATH_MNT) - OFF_MOUNT_MNT;
	}
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
		if (i >= walk->place && scratch->places.place[i].flags & PLACE_KNOWN)
			scratch->places.place[i].flags |= PLACE_CUT;
		if (scratch->places.place[i].flags & PLACE_NAMELESS)
			fill_nameless(&scratch->places.place[i], scratch->paths[i].dentry);
		i++;
		LOOP_END();
	}
	scratch->names_len = walk->at - at;
}

/* One entry per CPU: the loader sets the size. Two, since programs may be preempted: see ebpftop.h. */
BPF_ARRAY(traced_scratch, struct scratch, 1);
BPF_ARRAY(closing_scratch, struct scratch, 1);

/* What a call closes, kept in the room of its paths, of which it has none. */
struct kept_file {
	struct place place;
	struct socket_ends socket;
};

INLINE void keep_files(struct traced_call *call, struct scratch *scratch)
{
	struct kept_file *kept = (struct kept_file *)call->path[1];
	u64 len = scratch->names_len;

	kept->place = scratch->places.place[0];
	kept->socket = scratch->places.socket[0];
	if (len > PATH_LEN) {
		kept->place.flags = 0;
		len = 0;
	}
	BOUND(len, 511);
	bpf_probe_read_kernel(call->path[0], len, scratch->data);
}

/* Append them when the call has returned. */
INLINE void append_kept_files(struct scratch *scratch)
{
	const struct kept_file *kept = (const struct kept_file *)scratch->call.path[1];
	u64 len = kept->place.len, at = scratch->values_len;

	scratch->places.place[0] = kept->place;
	scratch->places.socket[0] = kept->socket;
	scratch->places.of[0] = 1;
	scratch->places.of[1] = 0;
	scratch->places.of[2] = 0;
	scratch->places.place[1].len = 0;
	scratch->places.place[2].len = 0;
	scratch->places.place[FILE_OF_PROCESS].flags = 0;
	BOUND(len, 511);
	BOUND(at, HEAD_MASK);
	if (len > PATH_LEN)
		len = 0;
	bpf_probe_read_kernel(scratch->data + at, len, scratch->call.path[0]);
	scratch->names_len = len;
}
