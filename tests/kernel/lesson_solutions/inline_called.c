/* SPDX-License-Identifier: GPL-2.0-only */
/* Not a solution: what does not load. */
// ebpftop: lesson 1
// ebpftop: attach hello=syscall:execve

static __attribute__((noinline)) int greet(u32 pid)
{
	bpf_trace_printk("Hello, process %d!", pid);
	return 0;
}

int hello(void *ctx)
{
	return greet(bpf_get_current_pid_tgid() >> 32);
}
