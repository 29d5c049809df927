int hello(void *ctx) {
	bpf_override_return((struct pt_regs *)ctx, -1);
	return 0;
}
