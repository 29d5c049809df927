/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first program of every eBPF lesson: say hello at execve. The line goes to the kernel's trace buffer, where
 * `cat /sys/kernel/tracing/trace_pipe` finds it, and so does ebpftop through an instance of its own.
 */
#include "ebpftop.h"

/* Threads that printed something, by tid: whether the filter took them when they did. */
BPF_TABLE("lru_hash", u32, u8, speakers, 16384);

/*
 * At tracepoint bpf_trace_printk (5.9), whoever's program prints. A trace instance cannot filter by user or cgroup; here
 * that is decided while the task runs, and user space drops the line, even if the task has ended by then.
 */
int trace_said(void *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	u8 yes = wanted();

	speakers.update(&tid, &yes);
	return 0;
}

INLINE int hello(void)
{
	if (wanted())
		bpf_trace_printk("Hello World!");
	return 0;
}

int trace_kprobe(void *ctx)
{
	return hello();
}

FENTRY(SYS_EXECVE, void *regs)
{
	return hello();
}

FENTRY(SYS_EXECVEAT, void *regs)
{
	return hello();
}

int trace_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return hello();
}

int trace_tracepoint(void *ctx)
{
	return hello();
}
