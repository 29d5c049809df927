struct data_t {
	uint pid;
};

int hello(void *ctx) {
	return 0;
}
