"""The process itself: devices, several processes, interrupts and random numbers."""
