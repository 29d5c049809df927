int hello(void *ctx) {
	struct data_t data = {};
	return data.pid;
}
