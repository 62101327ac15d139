"""The commands: each parses its options, calls the core and hands the result to the console."""
