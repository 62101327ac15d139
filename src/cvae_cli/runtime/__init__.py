"""The running process: devices, several processes, interrupts and random numbers."""
