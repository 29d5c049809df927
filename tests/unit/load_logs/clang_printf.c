int hello(void *ctx) {
	printf("Hello World!\n");
	return 0;
}
