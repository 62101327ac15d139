"""Many pictures into a folder, in constant memory, restartable."""
