BPF_PERF_OUTPUT(output);

int hello(void *ctx) {
	u64 pid = 1;
	output.ringbuf_output(&pid, sizeof(pid), 0);
	return 0;
}
