struct event {
	u64 pid;
};
BPF_RINGBUF_OUTPUT(ring, 8);

int hello(void *ctx) {
	struct event *e = ring.ringbuf_reserve(sizeof(*e));
	e->pid = bpf_get_current_pid_tgid() >> 32;
	ring.ringbuf_submit(e, 0);
	return 0;
}
