"""Processes, threads and files: what the operating system asks of us."""
