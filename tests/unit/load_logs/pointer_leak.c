// type: socket
// unprivileged
int hello(void *ctx) {
	return (int)(long)ctx;
}
