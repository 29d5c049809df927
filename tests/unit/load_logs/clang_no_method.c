BPF_PERF_OUTPUT(output);

int hello(void *ctx) {
	u64 key = 1;
	output.increment(key);
	return 0;
}
