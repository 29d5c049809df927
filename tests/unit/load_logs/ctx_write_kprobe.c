// type: kprobe
int hello(struct pt_regs *ctx) {
	ctx->ax = 0;
	return 0;
}
