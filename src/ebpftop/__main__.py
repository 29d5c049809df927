"""`python -m ebpftop`."""

from ebpftop.cli import main

raise SystemExit(main())
