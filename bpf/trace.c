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
#define GREETING "Hello World!"
/* More of the stack than is used between a program that greets and the one at the printk tracepoint. */
#define GREETING_STACK 4096

enum printed_kind { PRINTED_LINE = 1, PRINTED_PRINTER };

/* Which of the programs below greets. Known to src/ebpftop/probes/trace.py. */
enum greeter {
	NOT_GREETING,
	GREETER_KPROBE,
	GREETER_FENTRY,
	GREETER_RAW,
	GREETER_TRACEPOINT,
	GREETER_SKIPPED,
};

/*
 * A line, if it is handed over from here. Otherwise who prints: the name of a thread and the program that it runs, sent
 * before their lines in a trace buffer. Layout known to src/ebpftop/probes/trace.py.
 */
struct printed {
	u64 time_ns;
	u32 tid;
	u32 tgid;
	u32 cpu;
	u16 kind;
	u16 greeter; /* if it is one of our own programs: then there are no frames */
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

/*
 * Which of our own programs is about to print on this CPU, so that its line needs no walk of the stack: that takes
 * longer than all else at a line. Another program may print meanwhile: in an interrupt, on another stack; in a task
 * that preempts this one; or at a function that bpf_trace_printk calls. So a line is ours only if it comes in the same
 * task, closely below on the same stack, and is the greeting. Any other is walked, as is ours if in between another
 * task has greeted on this CPU. At a tracepoint the context is not on the stack, so these greetings are walked.
 */
struct greeting {
	u64 pid_tgid;
	u64 stack; /* the address of the context of the program; 0: none is about to print */
	u64 greeter;
	u64 line_stack; /* that at the printk tracepoint: read from here, it is a number for the verifier */
};

BPF_PERCPU_ARRAY(greetings, struct greeting, 1);

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

INLINE bool is_greeting(const char *message)
{
	const char greeting[] = GREETING;

#pragma unroll
	for (int i = 0; i < sizeof(greeting); i++)
		if (message[i] != greeting[i])
			return false;
	return true;
}

/* Which of our own programs printed the line at *text*. NOT_GREETING if none did, or if the stack has to say it. */
INLINE u16 greeter_of(void *ctx, u64 pid_tgid, struct printed *printed, const void *text)
{
	u32 zero = 0;
	struct greeting *mark = greetings.lookup(&zero);

	if (!mark || mark->pid_tgid != pid_tgid)
		return NOT_GREETING;
	*(volatile u64 *)&mark->line_stack = (u64)ctx;
	u64 distance = *(volatile u64 *)&mark->stack - *(volatile u64 *)&mark->line_stack;

	if (distance > GREETING_STACK)
		return NOT_GREETING;
	bpf_probe_read_kernel(printed->message, sizeof(GREETING), text);
	return is_greeting(printed->message) ? mark->greeter : NOT_GREETING;
}

/* If that fails, all are 0. No frame is skipped: before 5.18 as many would be missing at the end. */
INLINE void load_frames(void *ctx, struct printed *printed)
{
	bpf_get_stack(ctx, printed->frames, sizeof(printed->frames), 0);
}

/* Which calls led here, as one number: most likely another if a frame is another. */
INLINE u64 caller_of(const struct printed *printed)
{
	u64 caller = printed->greeter;

	if (caller)
		return caller;
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
	printed->greeter = greeter_of(ctx, pid_tgid, printed, (void *)ctx->args[0]);
	if (!*all && !is_filtering()) {
		if (span->from_ns && !span->until_ns)
			span->until_ns = printed->time_ns;
		if (!printed->greeter)
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
	if (!printed->greeter)
		load_frames(ctx, printed);
	printed->kind = PRINTED_LINE;
	printed->message[0] = 0;
	long len = bpf_probe_read_kernel_str(printed->message, MESSAGE_LEN, (void *)ctx->args[0]);
	u64 size = len > 0 ? len : 1; /* an empty line counts as 0 bytes on some kernels */

	BOUND(size, MESSAGE_LEN - 1);
	submit(ctx, printed, PRINTED_HEAD + size);
	return 0;
}

INLINE int hello(void *ctx, enum greeter greeter)
{
	if (!task_matches())
		return 0;
	u32 zero = 0;
	struct greeting *mark = greetings.lookup(&zero);

	if (!mark)
		return 0;
	mark->pid_tgid = bpf_get_current_pid_tgid();
	mark->greeter = greeter;
	*(volatile u64 *)&mark->stack = (u64)ctx;
	bpf_trace_printk(GREETING);
	*(volatile u64 *)&mark->stack = 0;
	return 0;
}

/*
 * The kernel's names of these programs, of which it keeps 15 characters: by them another ebpftop knows its like
 * (src/ebpftop/core/printed.py). Each is loaded as one type of program.
 */
#ifdef WITH_KPROBES
int ebpftop_hello_kprobe(void *ctx)
{
	return hello(ctx, GREETER_KPROBE);
}
#endif

#ifdef WITH_FENTRY
int ebpftop_hello_fentry(void *ctx)
{
	return hello(ctx, GREETER_FENTRY);
}
#endif

int ebpftop_hello_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return hello(ctx, GREETER_RAW);
}

#ifdef WITH_TRACEPOINTS
int ebpftop_hello_tracepoint(void *ctx)
{
	return hello(ctx, GREETER_TRACEPOINT);
}

/* raw tracepoint args: registers, number. Runs at every call of the machine, for calls that the tracepoints skip. */
int ebpftop_hello_skipped(struct bpf_raw_tracepoint_args *ctx)
{
	struct exec_call call;

	return is_exec(ctx->args[1], &call) && call.abi != ABI_NATIVE ? hello(ctx, GREETER_SKIPPED) : 0;
}
#endif
