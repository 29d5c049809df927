/* SPDX-License-Identifier: GPL-2.0-only */
// ebpftop: lesson 1
// ebpftop: attach hello=syscall:execve

int hello(void *ctx)
{
	bpf_trace_printk("Hello, process %d!", bpf_get_current_pid_tgid() >> 32);
	return 0;
}
