int hello(void *ctx) {
	int a = bpf_get_prandom_u32(), b = bpf_get_prandom_u32();
	return a / b;
}
