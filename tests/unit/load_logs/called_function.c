__attribute__((noinline)) int twice(int x) {
	return x + bpf_get_prandom_u32();
}

int hello(void *ctx) {
	return twice(3) + twice(4);
}
