"""Other kernels: Debian's, booted under QEMU on this machine's own file system."""
