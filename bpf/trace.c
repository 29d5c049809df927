/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first program of every eBPF lesson: say hello at execve. The line goes to the kernel's trace buffer, where
 * `cat /sys/kernel/tracing/trace_pipe` finds it, and so does ebpftop through an instance of its own.
 */
#include "ebpftop.h"

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
