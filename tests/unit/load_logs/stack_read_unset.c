int hello(void *ctx) {
	u64 x;
	asm volatile("%0 = *(u64 *)(r10 - 64)" : "=r"(x));
	return x;
}
