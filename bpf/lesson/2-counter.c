/* SPDX-License-Identifier: GPL-2.0-only */
/* Lesson 2, counter: a map that the program in the kernel writes, and that is read from outside. */
// ebpftop: lesson 2
// ebpftop: attach hello=syscall:execve
// ebpftop: show counter_table.key=uid

BPF_HASH(counter_table, u64, u64);

int hello(void *ctx)
{
	u64 uid = (u32)bpf_get_current_uid_gid();
	u64 one = 1, *count = counter_table.lookup(&uid);

	if (count)
		(*count)++;
	else
		counter_table.update(&uid, &one);
	return 0;
}
