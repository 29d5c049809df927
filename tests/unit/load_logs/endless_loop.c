int hello(void *ctx) {
	volatile int stop = 0;
	for (;;)
		;
	return 0;
}
