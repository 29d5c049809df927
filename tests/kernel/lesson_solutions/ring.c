/* SPDX-License-Identifier: GPL-2.0-only */
// ebpftop: lesson 3
// ebpftop: attach hello=syscall:execve

struct data_t {
	u32 pid;
	u32 uid;
	char command[16];
	char message[16];
};

BPF_RINGBUF_OUTPUT(output, 1);
BPF_ARRAY(dropped, u64, 1);

int hello(void *ctx)
{
	struct data_t data = {.message = "Hello World!"};

	data.pid = bpf_get_current_pid_tgid() >> 32;
	data.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(&data.command, sizeof(data.command));
	if (output.ringbuf_output(&data, sizeof(data), 0))
		dropped.atomic_increment(0);
	return 0;
}
