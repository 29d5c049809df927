int hello(struct bpf_raw_tracepoint_args *ctx) {
	ctx->args[0] = 0;
	return 0;
}
