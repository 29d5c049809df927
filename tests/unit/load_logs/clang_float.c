int hello(void *ctx) {
	double share = bpf_get_prandom_u32() / 3.0;
	return share > 1.5;
}
