int hello(void *ctx) {
	char message[16];
	message = "Hello World!";
	return message[0];
}
