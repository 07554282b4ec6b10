"""Benchmarks, run by hand; each is a program of its own."""
