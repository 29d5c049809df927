int hello(struct bpf_raw_tracepoint_args *ctx) {
	return ctx->args[20];
}
