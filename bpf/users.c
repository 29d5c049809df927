/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * execve attempts per user: the lesson's hash map, polled.
 *
 * An attempt is counted as early as the attach point allows, a failure when it returns.
 */
#include "ebpftop.h"
#include "compat.h"
#include "dispatch.h"

struct ns_uid {
	u32 userns; /* inode number of the user namespace the user was last seen in; 0: only ever in the first */
	u32 uid;    /* the user's uid in there */
} __attribute__((aligned(8)));

struct counters {
	u64 execs;
	u64 failed;
	struct ns_uid ns_uid;
	char last[COMM_LEN]; /* program started last */
};

BPF_HASH(users, u32, struct counters, 1); /* the loader sets the size */
/* The counters of users for whom the map had no room left. */
BPF_PERCPU_ARRAY(overflow_users, struct counters, 1);

/*
 * Whether the attempt was counted. The task's name and the filter may change before it ends, and a failure must belong
 * to a counted attempt.
 */
struct attempt {
	u64 is_counted;
};

#include "attempts.h"

INLINE struct counters *counters_of_current(void)
{
	u32 uid = load_cred(current_task(), OFF_CRED_UID);
	struct counters none = {};
	struct counters *counters = users.lookup_or_try_init(&uid, &none);

	if (!counters) {
		u32 zero = 0;

		counters = overflow_users.lookup(&zero);
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

/* If the task is in a user namespace, for example a container's: note which one, and the user's uid in there. */
INLINE void note_namespace(struct counters *counters)
{
	char *cred = load_pointer(current_task(), OFF_TASK_CRED);
	char *ns = cred ? load_pointer(cred, OFF_CRED_USER_NS) : NULL;

	if (!ns || !load_pointer(ns, OFF_USERNS_PARENT))
		return;
	char *map = ns + OFF_USERNS_UID_MAP;
	u32 count = read_u32(map, OFF_UIDMAP_COUNT);
	u32 uid = load_u32(cred, OFF_CRED_UID);

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
		struct ns_uid ns_uid = {read_u32(ns, OFF_USERNS_INUM), extent.first + (uid - extent.lower_first)};

		/* In a single write: other CPUs may write the entry of the same user, and user space reads it. */
		*(volatile u64 *)&counters->ns_uid = *(u64 *)&ns_uid;
		return;
	}
}
#else
INLINE void note_namespace(struct counters *counters)
{
}
#endif

INLINE struct counters *count_attempt(void)
{
	struct counters *counters = counters_of_current();

	if (counters) {
		__sync_fetch_and_add(&counters->execs, 1);
		note_namespace(counters);
	}
	return counters;
}

/* *is_check*: the call only checks and starts nothing, so it is remembered, and not counted. */
INLINE int attempted(bool is_check)
{
	char *task = current_task();
	struct attempt attempt = {.is_counted = !is_check && filter_matches(load_u32(task, OFF_TASK_TGID), NULL)};

	put_attempt((u64)task, &attempt);
	if (attempt.is_counted)
		count_attempt();
	return 0;
}

/*
 * If *may_be_unseen*, a return without an entry is an attempt too: one that seccomp denied, that began before this
 * program was attached, or that failed before sched_prepare_exec. A call that is trapped or killed returns its number.
 * A call that started a program returns 0, and has no entry any more: users_last() removed it.
 */
INLINE int returned(long ret, bool may_be_unseen)
{
	u64 task = (u64)current_task();
	struct attempt *attempt = find_attempt(task);
	struct counters *counters = NULL;
	volatile u32 has_failed = ret < 0; /* hidden from the verifier, which would check all paths twice */

	if (attempt) {
		if (attempt->is_counted)
			counters = counters_of_current();
		remove_attempt(task);
	} else if (may_be_unseen && ret && task_matches()) {
		counters = count_attempt();
	}
	if (counters && has_failed)
		__sync_fetch_and_add(&counters->failed, 1);
	return 0;
}

/* *regs*: the user's registers, the argument of a system call's kernel function. */
INLINE bool only_checks_at(const void *regs)
{
	struct exec_call call;

	return is_exec(read_u32(regs, OFF_REGS_NR), &call) && only_checks(call, fifth_argument(regs, call.abi));
}

#ifdef WITH_KPROBES
int users_kprobe(struct pt_regs *ctx)
{
	return attempted(only_checks_at((void *)PT_REGS_PARM1(ctx)));
}

int users_kretprobe(struct pt_regs *ctx)
{
	return returned(PT_REGS_RC(ctx), false);
}
#endif

#ifdef WITH_FENTRY
#define COUNTED_AT(function)                                            \
	FENTRY(function, void *regs)                                    \
	{                                                               \
		return attempted(only_checks_at(read_pointer(ctx, 0))); \
	}                                                               \
	FEXIT(function, void *regs, long ret)                           \
	{                                                               \
		return returned(ret, false);                            \
	}

COUNTED_AT(SYS_EXECVE)
COUNTED_AT(SYS_EXECVEAT)
#ifdef SYS_COMPAT_EXECVE
COUNTED_AT(SYS_COMPAT_EXECVE)
COUNTED_AT(SYS_COMPAT_EXECVEAT)
#endif
#ifdef SYS_X32_EXECVE
COUNTED_AT(SYS_X32_EXECVE)
COUNTED_AT(SYS_X32_EXECVEAT)
#endif
#endif

#ifdef WITH_TRACEPOINTS
/* syscalls/sys_enter_execve(at)/format, syscalls/sys_exit_execve(at)/format */
int users_enter_execve(void *ctx)
{
	return attempted(false);
}

/* Separate, since execve has no fifth argument, and the kernel refuses a program that reads one there. */
int users_enter_execveat(struct enter_tracepoint *ctx)
{
	return attempted(ctx->args[4] & AT_EXECVE_CHECK);
}

int users_exit(struct exit_tracepoint *ctx)
{
	return returned(ctx->ret, true);
}
#endif

#if defined(WITH_RAW_SYSCALLS) && !defined(HAVE_PREPARE_EXEC)
/* From dispatch_on_sys_enter. raw tracepoint args: registers, number */
int users_raw_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct exec_call call;

	if (is_exec(ctx->args[1], &call))
		attempted(only_checks(call, fifth_argument((void *)ctx->args[0], call.abi)));
	return go_on_at_sys_enter(ctx, DISPATCH_FAILURES);
}
#endif

/*
 * From dispatch_on_sys_exit. raw tracepoint args: registers, return value. An execve that fails late has become a call of
 * its new program's ABI on x86 (set_personality_*), and only the number of one on arm64.
 */
INLINE int on_raw_exit(struct bpf_raw_tracepoint_args *ctx, bool only_skipped)
{
	u32 nr = read_u32((void *)ctx->args[0], OFF_REGS_NR);
	struct exec_call call;

	if (!only_skipped || skipped_by_tracepoints(nr)) {
		bool is_attempt =
			is_exec(nr, &call) && !only_checks(call, fifth_argument((void *)ctx->args[0], call.abi));

		returned(ctx->args[1], is_attempt);
	}
	return go_on_at_sys_exit(ctx, DISPATCH_FAILURES);
}

#ifdef WITH_RAW_SYSCALLS
int users_raw_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return on_raw_exit(ctx, false);
}
#endif

#ifdef WITH_TRACEPOINTS
/* What syscalls:* tracepoints skip. */
int users_skipped_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct exec_call call;

	if (is_exec(ctx->args[1], &call) && call.abi != ABI_NATIVE)
		attempted(only_checks(call, fifth_argument((void *)ctx->args[0], call.abi)));
	return go_on_at_sys_enter(ctx, DISPATCH_FAILURES);
}

int users_skipped_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return on_raw_exit(ctx, true);
}
#endif

#if defined(WITH_RAW_SYSCALLS) && defined(HAVE_PREPARE_EXEC)
/* raw tracepoint args: task, linux_binprm. The kernel starts programs of its own too. */
int users_prepare(void *ctx)
{
	struct exec_call call;

	return is_exec(load_u32(registers_of(trusted_current_task()), OFF_REGS_NR), &call) ? attempted(false) : 0;
}
#endif

/*
 * At sched_process_exec: notes the user's last program; costs nothing between execs. Here the thread already has the
 * new program's name.
 */
int users_last(void *ctx)
{
	char *task = current_task();
	struct attempt *attempt = find_attempt((u64)task);

	if (!attempt)
		return 0;
	struct counters *counters = attempt->is_counted ? counters_of_current() : NULL;

	remove_attempt((u64)task);
	if (counters)
		load_comm(counters->last, task);
	return 0;
}
