int hello(void *ctx) {
	u32 n = bpf_get_prandom_u32() & 15;
	char text[n];
	bpf_get_current_comm(text, n);
	return text[0];
}
