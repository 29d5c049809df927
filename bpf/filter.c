/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps of the filter, and the programs that keep them up to date while processes and cgroups come and go. Each is
 * attached only while the filter needs it: those for processes with --pid, the one for cgroups with --cgroup and
 * --container. And the programs that others share: see dispatch.h.
 */
#include "ebpftop.h"
#include "compat.h"
#include "dispatch.h"

/*
 * The start times of the processes forked last, by pid. The kernel frees a process some time after its pid can be used
 * again (ten seconds if RCU is lazy). By then the pid may belong to another process, with another start time.
 */
BPF_TABLE("lru_hash", u32, u64, started, 4096);

/* raw tracepoint args: parent task, child task. The child matches, or is excluded, in the slots in which its parent is. */
int filter_on_sched_process_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u32 parent = read_u32((void *)ctx->args[0], OFF_TASK_TGID);
	u32 child = read_u32((void *)ctx->args[1], OFF_TASK_TGID);

	if (parent == child) /* a thread */
		return 0;
	u8 *bits = filter_pids.lookup(&parent);

	if (!bits) {
		filter_pids.delete(&child); /* a reused pid */
		started.delete(&child);
		return 0;
	}
	u8 inherited = *bits;
	u64 start_ns = read_u64((void *)ctx->args[1], OFF_TASK_START_BOOTTIME);

	started.update(&child, &start_ns);
	if (filter_pids.update(&child, &inherited))
		count_lost(LOST_MAP);
	return 0;
}

/* sched_process_free comes when the last thread is reaped, after every program that still looks up the process. */
int filter_on_sched_process_free(struct bpf_raw_tracepoint_args *ctx)
{
	void *task = (void *)ctx->args[0];
	u32 tgid = read_u32(task, OFF_TASK_TGID);

	if (read_u32(task, OFF_TASK_PID) != tgid)
		return 0;
	u64 *start_ns = started.lookup(&tgid);

	if (start_ns && *start_ns != read_u64(task, OFF_TASK_START_BOOTTIME))
		return 0;
	started.delete(&tgid);
	filter_pids.delete(&tgid);
	return 0;
}

#if defined(OFF_CGROUP_ROOT) && defined(OFF_CGROUP_ROOT_HIERARCHY_ID) && defined(OFF_CGROUP_ROOT_SUBSYS_MASK) && \
	defined(OFF_KERNFS_ID) && defined(CSS_PIDS_ID)
#define CGROUP_PATH_LEN 256

struct cgroup_path {
	char text[CGROUP_PATH_LEN];
};

/* The places in filter_config of the cgroups that the filter names, a bit for each, by their paths. */
BPF_HASH(filter_paths, struct cgroup_path, u32, (FILTER_SLOTS * FILTER_CGROUPS));
BPF_PERCPU_ARRAY(made_path, struct cgroup_path, 1);

/*
 * A cgroup that was removed and is created again (a unit that systemd restarts) has another id. The id is updated here,
 * before the first process enters the cgroup. raw tracepoint args: the cgroup, its path from the root of its hierarchy.
 */
int filter_on_cgroup_mkdir(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	void *cgroup = (void *)ctx->args[0];
	struct cgroup_path *path = made_path.lookup(&zero);
	struct filter_config *config = filter_config.lookup(&zero);

	if (!path || !config)
		return 0;
	__builtin_memset(path, 0, sizeof(*path));
	/* A path that does not fit is cut, and is not in the map: user space finds that cgroup, a moment later. */
	bpf_probe_read_kernel_str(path->text, sizeof(path->text), (void *)ctx->args[1]);
	u32 *places = filter_paths.lookup(path);

	if (!places)
		return 0;
	void *root = read_pointer(cgroup, OFF_CGROUP_ROOT);
	bool v1 = read_u32(root, OFF_CGROUP_ROOT_HIERARCHY_ID);

	if (v1 && !(read_u32(root, OFF_CGROUP_ROOT_SUBSYS_MASK) >> CSS_PIDS_ID & 1))
		return 0;
	u64 id = read_u64(read_pointer(cgroup, OFF_CGROUP_KN), OFF_KERNFS_ID);
#pragma nounroll
	for (u32 place = 0; place < FILTER_SLOTS * FILTER_CGROUPS; place++) {
		struct cgroup_choice *choice = &config->slot[place / FILTER_CGROUPS].cgroup[place % FILTER_CGROUPS];

		if (*places >> place & 1 && choice->v1 == v1)
			choice->id = id;
	}
	return 0;
}
#endif

/* raw tracepoint args: registers, number */
int dispatch_on_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	if (may_be_exec(ctx->args[1]))
		return go_on_at_sys_enter(ctx, DISPATCH_USERS);
	return go_on_at_sys_enter(ctx, DISPATCH_SYSCALLS);
}

/*
 * raw tracepoint args: registers, return value. An execve that started a program returns 0, one that is trapped or killed
 * its number.
 */
int dispatch_on_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	long ret = ctx->args[1];

	if ((ret < 0 || may_be_exec(ret)) && may_be_exec(read_u32((void *)ctx->args[0], OFF_REGS_NR)))
		return go_on_at_sys_exit(ctx, DISPATCH_USERS);
	return go_on_at_sys_exit(ctx, DISPATCH_SYSCALLS);
}
