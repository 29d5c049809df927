int hello(void *ctx) {
	asm volatile("r1 = 1\nr1 /= 0");
	return 0;
}
