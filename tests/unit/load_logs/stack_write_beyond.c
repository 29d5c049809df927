int hello(void *ctx) {
	asm volatile("r1 = 0\n*(u64 *)(r10 - 520) = r1");
	return 0;
}
