static u64 (*later)(void) = (void *)4000;

int hello(void *ctx) {
	return later();
}
