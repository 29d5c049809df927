BPF_ARRAY(config, u64, 1);

int hello(struct bpf_raw_tracepoint_args *ctx) {
	char text[64] = {};
	int zero = 0;
	u64 *size = config.lookup(&zero);
	if (!size)
		return 0;
	if (*size < 64)
		bpf_probe_read_kernel(text, *(volatile u64 *)size, (void *)ctx->args[0]);
	return text[0];
}
