BPF_PERF_OUTPUT(output);

int hello(void *ctx) {
	u64 pid = bpf_get_current_pid_tgid() >> 32;
	output.perf_submit(&pid, &pid, sizeof(pid));
	return 0;
}
