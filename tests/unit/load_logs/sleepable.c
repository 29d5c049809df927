static int (*copy_from_user)(void *to, u32 size, const void *from) = (void *)148;

int hello(struct bpf_raw_tracepoint_args *ctx) {
	char text[8];
	copy_from_user(text, 8, (void *)ctx->args[0]);
	return text[0];
}
