/* SPDX-License-Identifier: GPL-2.0-only */
// ebpftop: lesson 3
// ebpftop: attach hello=syscall:execve
// ebpftop: show config.key=uid

struct data_t {
	u32 pid;
	u32 uid;
	char command[16];
	char message[16];
};

struct text {
	char text[16];
};

BPF_PERF_OUTPUT(output);
BPF_HASH(config, u32, struct text);

int hello(void *ctx)
{
	struct data_t data = {.message = "Hello World!"};
	struct text *found;

	data.pid = bpf_get_current_pid_tgid() >> 32;
	data.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(&data.command, sizeof(data.command));
	found = config.lookup(&data.uid);
	if (found)
		bpf_probe_read_kernel(&data.message, sizeof(data.message), found->text);
	output.perf_submit(ctx, &data, sizeof(data));
	return 0;
}
