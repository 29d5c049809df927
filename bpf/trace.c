/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first program of every eBPF lesson: print hello at execve. The line goes to the kernel's trace buffer. There
 * `cat /sys/kernel/tracing/trace_pipe` reads it; ebpftop reads it through an instance of its own.
 */
#include "ebpftop.h"
#include "compat.h"
#include "events.h"

#define MESSAGE_LEN 2048 /* the kernel's own limit is 1024 */
#define PRINTERS_MAX 8192
/* Between the program at the tracepoint and the one that prints are three to five functions of the kernel. */
#define FRAMES 8

enum printed_kind { PRINTED_LINE = 1, PRINTED_PRINTER };

/*
 * A line, if it is handed over from here. Otherwise who prints: the name of a thread and the program that it runs, sent
 * before their lines in a trace buffer. Layout known to src/ebpftop/probes/trace.py.
 */
struct printed {
	u64 time_ns;
	u32 tid;
	u32 tgid;
	u32 cpu;
	u32 kind;
	char task[COMM_LEN];
	u64 frames[FRAMES]; /* return addresses, the innermost first; one of them lies in the program that prints */
	char message[MESSAGE_LEN];
};

#define PRINTED_HEAD __builtin_offsetof(struct printed, message)

BPF_PERCPU_ARRAY(printed_scratch, struct printed, 1);

/*
 * The lines of this CPU were handed over from here since `from_ns`; since `until_ns` the trace instance has them again
 * (0: not yet). While the filter changes, a line may come both ways: these times show which of the two to drop.
 */
struct span {
	u64 from_ns;
	u64 until_ns;
};

BPF_PERCPU_ARRAY(handed_over, struct span, 1);

/* 1: there is no trace instance, so every line is handed over. */
BPF_ARRAY(hand_over_all, u32, 1);

/* What was last sent to user space about a thread that prints. */
struct printer {
	u64 caller; /* of its frames */
	u32 tgid;
	u32 unused;
	u64 task[COMM_LEN / 8];
};

BPF_TABLE("lru_hash", u32, struct printer, printers, PRINTERS_MAX);

INLINE bool is_filtering(void)
{
	u32 zero = 0;
	struct filter_config *config = filter_config.lookup(&zero);

	return config && config->slot[config->active & (FILTER_SLOTS - 1)].flags & ~FILTER_HIDE_SELF;
}

/* If that fails, all are 0. No frame is skipped: before 5.18 as many would be missing at the end. */
INLINE void load_frames(void *ctx, struct printed *printed)
{
	bpf_get_stack(ctx, printed->frames, sizeof(printed->frames), 0);
}

/* Which calls led here, as one number: most likely another if a frame is another. */
INLINE u64 caller_of(const struct printed *printed)
{
	u64 caller = 0;

#pragma unroll
	for (int i = 0; i < FRAMES; i++)
		caller = caller * 31 + printed->frames[i];
	return caller;
}

/*
 * Events of a trace buffer have only their thread's id. So who it is, and which program it runs, is sent before them:
 * once and when it changes.
 */
INLINE void send_printer(void *ctx, struct printed *printed)
{
	struct printer *sent = printers.lookup(&printed->tid);
	const u64 *task = (const u64 *)printed->task;
	struct printer now = {caller_of(printed), printed->tgid, 0, {task[0], task[1]}};

	if (sent && sent->caller == now.caller && sent->tgid == now.tgid && sent->task[0] == now.task[0] &&
	    sent->task[1] == now.task[1])
		return;
	printed->kind = PRINTED_PRINTER;
	/* Not a loss: the line comes, and with the next one the printer is sent again. */
	if (!hand_over(ctx, printed, PRINTED_HEAD))
		printers.update(&printed->tid, &now);
}

/*
 * At tracepoint bpf_trace_printk (5.9), for every program that prints; ctx->args[0] is the text. A trace instance
 * cannot filter by user, cgroup or descent. So while a filter is set the instance is silent, and only the lines that
 * the filter matches leave the kernel, from here.
 */
int on_trace_printk(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	struct span *span = handed_over.lookup(&zero);
	struct printed *printed = printed_scratch.lookup(&zero);
	u32 *all = hand_over_all.lookup(&zero);

	if (!span || !printed || !all)
		return 0;
	u64 pid_tgid = bpf_get_current_pid_tgid();

	printed->time_ns = bpf_ktime_get_ns();
	printed->tid = pid_tgid;
	printed->tgid = pid_tgid >> 32;
	printed->cpu = bpf_get_smp_processor_id();
	bpf_get_current_comm(printed->task, COMM_LEN);
	if (!*all && !is_filtering()) {
		if (span->from_ns && !span->until_ns)
			span->until_ns = printed->time_ns;
		load_frames(ctx, printed);
		send_printer(ctx, printed);
		return 0;
	}
	if (!span->from_ns || span->until_ns) {
		span->from_ns = printed->time_ns;
		span->until_ns = 0;
	}
	if (!task_matches())
		return 0;
	load_frames(ctx, printed);
	printed->kind = PRINTED_LINE;
	printed->message[0] = 0;
	long len = bpf_probe_read_kernel_str(printed->message, MESSAGE_LEN, (void *)ctx->args[0]);
	u64 size = len > 0 ? len : 1; /* an empty line counts as 0 bytes on some kernels */

	BOUND(size, MESSAGE_LEN - 1);
	submit(ctx, printed, PRINTED_HEAD + size);
	return 0;
}

INLINE int hello(void)
{
	if (task_matches())
		bpf_trace_printk("Hello World!");
	return 0;
}

/*
 * The kernel's names of these programs, of which it keeps 15 characters: by them another ebpftop knows its like
 * (src/ebpftop/core/printed.py). Each is loaded as one type of program.
 */
#ifdef WITH_KPROBES
int ebpftop_hello_kprobe(void *ctx)
{
	return hello();
}
#endif

#ifdef WITH_FENTRY
int ebpftop_hello_fentry(void *ctx)
{
	return hello();
}
#endif

int ebpftop_hello_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return hello();
}

#ifdef WITH_TRACEPOINTS
int ebpftop_hello_tracepoint(void *ctx)
{
	return hello();
}

/* raw tracepoint args: registers, number. Runs at every call of the machine, for calls that the tracepoints skip. */
int ebpftop_hello_skipped(struct bpf_raw_tracepoint_args *ctx)
{
	struct exec_call call;

	return is_exec(ctx->args[1], &call) && call.abi != ABI_NATIVE ? hello() : 0;
}
#endif
