/* SPDX-License-Identifier: GPL-2.0-only */
/* Lesson 1, hello: a program in the kernel that runs each time a process asks for another program, by execve. */
// ebpftop: lesson 1
// ebpftop: attach hello=syscall:execve

int hello(void *ctx)
{
	bpf_trace_printk("Hello World!");
	return 0;
}
