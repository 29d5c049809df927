BPF_RINGBUF_OUTPUT(ring, 8);

int hello(void *ctx) {
	u64 *e = ring.ringbuf_reserve(8);
	if (!e)
		return 0;
	e[1] = 7;
	ring.ringbuf_submit(e, 0);
	return 0;
}
