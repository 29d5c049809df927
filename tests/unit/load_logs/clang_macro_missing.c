struct data_t {
	char path[PATH_MAX];
};
BPF_PERF_OUTPUT(output);

int hello(void *ctx) {
	return 0;
}
