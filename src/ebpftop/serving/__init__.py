"""What `ebpftop serve` makes of records for engines that collect from many machines: totals, and their formats."""
