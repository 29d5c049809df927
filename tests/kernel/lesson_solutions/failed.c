/* SPDX-License-Identifier: GPL-2.0-only */
// ebpftop: lesson 2
// ebpftop: show counter_table.key.uid=uid

struct outcome {
	u32 uid;
	u32 failed;
};

BPF_HASH(counter_table, struct outcome, u64);

TRACEPOINT_PROBE(syscalls, sys_exit_execve)
{
	struct outcome key = {.uid = bpf_get_current_uid_gid(), .failed = args->ret < 0};

	counter_table.increment(key);
	return 0;
}
