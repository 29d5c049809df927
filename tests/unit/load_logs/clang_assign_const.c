int hello(void *ctx) {
	const int limit = 3;
	limit = 4;
	return limit;
}
