/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first program of every eBPF lesson: say hello at execve. The line goes to the kernel's trace buffer, where
 * `cat /sys/kernel/tracing/trace_pipe` finds it, and so does ebpftop through an instance of its own.
 */
#include "ebpftop.h"

#define MESSAGE_LEN 2048 /* the kernel's own limit is 1024 */

/* A line for user space while a filter is set. */
struct line {
	u64 time_ns;
	u32 tid;
	u32 cpu;
	char task[COMM_LEN];
	char message[MESSAGE_LEN];
};

BPF_PERCPU_ARRAY(line_scratch, struct line, 1);

/*
 * When the lines of this CPU began to be handed over from here, and when the trace instance was left to it again (0: not
 * yet). While the filter changes a line may come both ways; this tells which of the two to pass over.
 */
struct span {
	u64 from_ns;
	u64 until_ns;
};

BPF_PERCPU_ARRAY(handed_over, struct span, 1);

INLINE bool narrowed(void)
{
	u32 zero = 0;
	struct filter_config *config = filter_config.lookup(&zero);

	return config && config->slot[config->active & (FILTER_SLOTS - 1)].flags & ~FILTER_HIDE_SELF;
}

/*
 * At tracepoint bpf_trace_printk (5.9), whoever's program prints; ctx->args[0] is the text. A trace instance cannot
 * filter by user, cgroup or descent. So while a filter is set the instance is silent, and what the filter takes of all
 * that is printed leaves the kernel here; nothing else does.
 */
int trace_said(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	struct span *span = handed_over.lookup(&zero);
	struct line *line = line_scratch.lookup(&zero);

	if (!span || !line)
		return 0;
	u64 now_ns = bpf_ktime_get_ns();

	if (!narrowed()) {
		if (span->from_ns && !span->until_ns)
			span->until_ns = now_ns;
		return 0;
	}
	if (!span->from_ns || span->until_ns) {
		span->from_ns = now_ns;
		span->until_ns = 0;
	}
	if (!wanted())
		return 0;
	line->time_ns = now_ns;
	line->tid = bpf_get_current_pid_tgid();
	line->cpu = bpf_get_smp_processor_id();
	bpf_get_current_comm(line->task, COMM_LEN);
	long len = bpf_probe_read_kernel_str(line->message, MESSAGE_LEN, (void *)ctx->args[0]);
	u64 size = len > 0 ? len : 0;

	BOUND(size, MESSAGE_LEN - 1);
	submit(ctx, line, sizeof(*line) - MESSAGE_LEN + size);
	return 0;
}

INLINE int hello(void)
{
	if (wanted())
		bpf_trace_printk("Hello World!");
	return 0;
}

#ifdef WITH_KPROBES
int trace_kprobe(void *ctx)
{
	return hello();
}
#endif

#ifdef WITH_FENTRY
FENTRY(SYS_EXECVE, void *regs)
{
	return hello();
}

FENTRY(SYS_EXECVEAT, void *regs)
{
	return hello();
}
#endif

int trace_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return hello();
}

#ifdef WITH_TRACEPOINTS
int trace_tracepoint(void *ctx)
{
	return hello();
}
#endif
