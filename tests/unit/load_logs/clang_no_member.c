struct data_t {
	u32 pid;
};
BPF_PERF_OUTPUT(output);

int hello(void *ctx) {
	struct data_t data = {};
	data.uid = bpf_get_current_uid_gid();
	output.perf_submit(ctx, &data, sizeof(data));
	return 0;
}
