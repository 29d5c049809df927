/* SPDX-License-Identifier: GPL-2.0-only */
// ebpftop: lesson 4
// ebpftop: attach hello=raw_tracepoint:sys_enter
// ebpftop: slot syscalls[execve]=hello_exec syscalls[timer_create]=hello_timer syscalls[sched_yield]=ignore
// ebpftop: slot syscalls[openat]=hello_openat
// ebpftop: show syscalls.key=syscall others.key=syscall

BPF_PROG_ARRAY(syscalls, 512);
BPF_HASH(others, u64, u64);

int hello(struct bpf_raw_tracepoint_args *ctx)
{
	u64 nr = ctx->args[1];

	syscalls.call(ctx, nr);
	others.increment(nr); /* only if the slot is empty: a tail call does not return */
	return 0;
}

int hello_exec(void *ctx)
{
	bpf_trace_printk("Executing a program");
	return 0;
}

int hello_timer(void *ctx)
{
	bpf_trace_printk("Creating a timer");
	return 0;
}

int ignore(void *ctx)
{
	return 0;
}

int hello_openat(void *ctx)
{
	bpf_trace_printk("Opening a file");
	return 0;
}
