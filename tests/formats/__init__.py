"""Tests of the format: its text, its vectors, its reference readers, streams of old releases."""
