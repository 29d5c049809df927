void hello(void *ctx) {
	return 1;
}
