int hello(void *ctx) {
	asm volatile("r10 = 0");
	return 0;
}
