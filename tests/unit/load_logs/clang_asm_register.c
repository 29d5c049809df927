int hello(void *ctx) {
	asm volatile("r1 = 0" ::: "r1");
	return 0;
}
