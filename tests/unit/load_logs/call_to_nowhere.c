// implicit
int hello(void *ctx) {
	return min(1, 2);
}
