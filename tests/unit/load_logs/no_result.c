// type: xdp
int hello(void *ctx) {
	int x;
	if (bpf_get_prandom_u32())
		x = 1;
	asm volatile("exit");
	return x;
}
