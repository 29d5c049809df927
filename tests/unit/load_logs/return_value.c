// type: tracing:fentry:do_unlinkat
int hello(void *ctx) {
	return 1;
}
