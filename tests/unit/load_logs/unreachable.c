int hello(void *ctx) {
	asm volatile("goto +1\nr0 = 0");
	return 0;
}
