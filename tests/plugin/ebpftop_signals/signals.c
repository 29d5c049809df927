/* SPDX-License-Identifier: GPL-2.0-only */
/* Every signal that a process sends to a process. */
#include "ebpftop.h"
#include "events.h"

struct sent {
	u64 time_ns;
	u32 pid;
	u32 target;
	u32 signal;
	u32 unused;
	char comm[COMM_LEN];
};

/* raw tracepoint args: the signal, its details, the task that gets it. */
int signals_on_signal_generate(struct bpf_raw_tracepoint_args *ctx)
{
	struct sent sent = {.time_ns = bpf_ktime_get_ns(), .signal = ctx->args[0]};

	if (!task_matches())
		return 0;
	sent.pid = bpf_get_current_pid_tgid() >> 32;
	sent.target = read_u32((void *)ctx->args[2], OFF_TASK_TGID);
	bpf_get_current_comm(sent.comm, COMM_LEN);
	submit(ctx, &sent, sizeof(sent));
	return 0;
}
