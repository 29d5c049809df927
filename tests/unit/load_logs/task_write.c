int hello(void *ctx) {
	u64 (*task)(void) = (void *)158;
	u64 t = task();
	asm volatile("r2 = 0\n*(u64 *)(%0 + 16) = r2" :: "r"(t));
	return 0;
}
