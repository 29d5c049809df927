/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps of the filter, and the two programs that keep "a process and its descendants" true while processes come and
 * go. They are attached only while a --pid filter is set; all other kinds of filter need no program of their own.
 */
#include "ebpftop.h"

/* raw tracepoint args: parent task, child task. The child is wanted in the slots in which its parent is. */
int filter_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u32 parent = read_u32((void *)ctx->args[0], OFF_TASK_TGID);
	u32 child = read_u32((void *)ctx->args[1], OFF_TASK_TGID);

	if (parent == child) /* a thread */
		return 0;
	u8 *slots = filter_pids.lookup(&parent);

	if (!slots) {
		filter_pids.delete(&child); /* a pid used anew */
		return 0;
	}
	u8 inherited = *slots;

	if (filter_pids.update(&child, &inherited))
		count_lost(LOST_MAP);
	return 0;
}

/* sched_process_free comes when the last thread is reaped, after every program that still asks about the process. */
int filter_free(struct bpf_raw_tracepoint_args *ctx)
{
	void *task = (void *)ctx->args[0];
	u32 tgid = read_u32(task, OFF_TASK_TGID);

	if (read_u32(task, OFF_TASK_PID) == tgid)
		filter_pids.delete(&tgid);
	return 0;
}
