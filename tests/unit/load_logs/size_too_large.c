BPF_ARRAY(config, u64, 1);
BPF_PERF_OUTPUT(output);

int hello(struct bpf_raw_tracepoint_args *ctx) {
	char text[16] = {};
	int zero = 0;
	u64 *size = config.lookup(&zero);
	if (!size || *size > 32)
		return 0;
	bpf_probe_read_kernel(text, *size, (void *)ctx->args[0]);
	output.perf_submit(ctx, text, sizeof(text));
	return 0;
}
