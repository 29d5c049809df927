BPF_RINGBUF_OUTPUT(ring, 8);

int hello(void *ctx) {
	u32 size = bpf_get_prandom_u32();
	void *e = ring.ringbuf_reserve(size & 63);
	if (e)
		ring.ringbuf_discard(e, 0);
	return 0;
}
