/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * execve attempts per user: the lesson's hash map, polled.
 *
 * An attempt is counted when execve is entered, so that one which never returns counts too; a failure when it returns.
 */
#include "ebpftop.h"

struct counters {
	u64 execs;
	u64 failed;
	u32 userns; /* inode number of the user namespace it was seen in last; 0: never in any but the first */
	u32 inside; /* what it is called in there */
	char last[COMM_LEN]; /* program started last */
};

BPF_HASH(users, u32, struct counters, USERS_MAX);
/* Those of users for whom the map had no room left. */
BPF_PERCPU_ARRAY(others, struct counters, 1);

/*
 * Threads inside an execve that is counted. What they are called and which filter holds may change before it ends, and
 * a failure belongs to an attempt that was counted.
 */
BPF_TABLE("lru_hash", u64, u8, attempts, 8192);

INLINE struct counters *counters_of_current(void)
{
	u32 uid = bpf_get_current_uid_gid();
	struct counters none = {};
	struct counters *counters = users.lookup_or_try_init(&uid, &none);

	if (!counters) {
		u32 zero = 0;

		counters = others.lookup(&zero);
	}
	return counters;
}

#ifdef OFF_UIDMAP_EXTENTS
#define EXTENTS 5 /* UID_GID_MAP_MAX_BASE_EXTENTS; maps that have more keep them elsewhere */

/* include/linux/user_namespace.h */
struct extent {
	u32 first;
	u32 lower_first;
	u32 count;
};

/* In a user namespace, a container's say: which one, and who the user is in there. */
INLINE void note_namespace(struct counters *counters)
{
	void *cred = read_pointer((void *)bpf_get_current_task(), OFF_TASK_CRED);
	void *ns = read_pointer(cred, OFF_CRED_USER_NS);

	if (!read_pointer(ns, OFF_USERNS_PARENT))
		return;
	char *map = (char *)ns + OFF_USERNS_UID_MAP;
	u32 count = read_u32(map, OFF_UIDMAP_COUNT);
	u32 uid = bpf_get_current_uid_gid();

	if (count > EXTENTS)
		return;
#pragma nounroll
	for (int i = 0; i < EXTENTS; i++) {
		struct extent extent = {};

		if (i >= count)
			return;
		bpf_probe_read_kernel(&extent, sizeof(extent), map + OFF_UIDMAP_EXTENTS + i * sizeof(extent));
		if (uid - extent.lower_first >= extent.count)
			continue;
		counters->inside = extent.first + (uid - extent.lower_first);
		counters->userns = read_u32(ns, OFF_USERNS_INUM);
		return;
	}
}
#else
INLINE void note_namespace(struct counters *counters)
{
}
#endif

INLINE int attempted(void)
{
	if (!wanted())
		return 0;
	struct counters *counters = counters_of_current();
	u64 thread = bpf_get_current_pid_tgid();
	u8 yes = 1;

	if (!counters)
		return 0;
	__sync_fetch_and_add(&counters->execs, 1);
	attempts.update(&thread, &yes);
	note_namespace(counters);
	return 0;
}

INLINE int returned(long ret)
{
	if (ret >= 0)
		return 0;
	u64 thread = bpf_get_current_pid_tgid();

	if (!attempts.lookup(&thread))
		return 0;
	attempts.delete(&thread);
	struct counters *counters = counters_of_current();

	if (counters)
		__sync_fetch_and_add(&counters->failed, 1);
	return 0;
}

#ifdef WITH_KPROBES
int users_kprobe(void *ctx)
{
	return attempted();
}

int users_kretprobe(struct pt_regs *ctx)
{
	return returned(PT_REGS_RC(ctx));
}
#endif

#ifdef WITH_FENTRY
FENTRY(SYS_EXECVE, void *regs)
{
	return attempted();
}

FENTRY(SYS_EXECVEAT, void *regs)
{
	return attempted();
}

FEXIT(SYS_EXECVE, void *regs, long ret)
{
	return returned(ret);
}

FEXIT(SYS_EXECVEAT, void *regs, long ret)
{
	return returned(ret);
}
#endif

/* syscalls/sys_exit_execve(at)/format */
struct exit_tracepoint {
	u64 common;
	u64 nr;
	s64 ret;
};

int users_enter(void *ctx)
{
	return attempted();
}

int users_exit(struct exit_tracepoint *ctx)
{
	return returned(ctx->ret);
}

#ifdef WITH_RAW_SYSCALLS
INLINE bool is_compat(void)
{
#ifdef OFF_TASK_STATUS
	return read_u32((void *)bpf_get_current_task(), OFF_TASK_STATUS) & 2; /* TS_COMPAT */
#else
	return false;
#endif
}

/* Runs at every syscall of the machine, so the number is asked first. */
int users_raw_enter(struct bpf_raw_tracepoint_args *ctx)
{
	u64 nr = ctx->args[1];

	if (nr != NR_EXECVE && nr != NR_EXECVEAT && nr != NR_COMPAT_EXECVE && nr != NR_COMPAT_EXECVEAT)
		return 0;
	bool compat = is_compat();

	if (compat ? nr == NR_COMPAT_EXECVE || nr == NR_COMPAT_EXECVEAT : nr == NR_EXECVE || nr == NR_EXECVEAT)
		attempted();
	return 0;
}

int users_raw_exit(struct bpf_raw_tracepoint_args *ctx)
{
	long ret = ctx->args[1];

	if (ret >= 0)
		return 0;
	u32 nr = read_u32((void *)ctx->args[0], OFF_REGS_NR);
	bool compat = is_compat();

	if (compat ? nr == NR_COMPAT_EXECVE || nr == NR_COMPAT_EXECVEAT : nr == NR_EXECVE || nr == NR_EXECVEAT)
		returned(ret);
	return 0;
}
#endif

/*
 * Names the user's last program; costs nothing until somebody execs. raw tracepoint args: task, old pid, linux_binprm.
 * Here the thread has the new program's name already, and the process's first tid.
 */
int users_last(struct bpf_raw_tracepoint_args *ctx)
{
	u64 thread = bpf_get_current_pid_tgid() >> 32 << 32 | (u32)ctx->args[1];

	if (!attempts.lookup(&thread))
		return 0;
	attempts.delete(&thread);
	struct counters *counters = counters_of_current();

	if (counters)
		bpf_get_current_comm(counters->last, COMM_LEN);
	return 0;
}
