"""The command line: parse, call gpukit, print."""
