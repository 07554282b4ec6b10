"""Streams that each release wrote, and the program that keeps them."""
