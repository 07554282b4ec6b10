"""Codecs of others, and the simplest ones, to measure ours beside; see `evaluation.codecs`."""
