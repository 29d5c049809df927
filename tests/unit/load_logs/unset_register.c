int hello(void *ctx) {
	u64 x;
	asm volatile("%0 = r7" : "=r"(x));
	return x;
}
