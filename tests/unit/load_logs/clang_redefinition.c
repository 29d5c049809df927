int hello(void *ctx) {
	return 0;
}

int hello(void *ctx) {
	return 1;
}
