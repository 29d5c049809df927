BPF_PERF_OUTPUT(output);

struct data_t {
	char path[600];
};

int hello(void *ctx) {
	struct data_t data = {};
	bpf_get_current_comm(&data.path, sizeof(data.path));
	output.perf_submit(ctx, &data, sizeof(data));
	return 0;
}
