int seen = 0;

int hello(void *ctx) {
	seen++;
	return seen;
}
