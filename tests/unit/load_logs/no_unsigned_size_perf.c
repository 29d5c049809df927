BPF_PERF_OUTPUT(output);

int hello(void *ctx) {
	u64 pid = bpf_get_current_pid_tgid() >> 32;
	output.perf_submit(ctx, &pid, 16);
	return 0;
}
