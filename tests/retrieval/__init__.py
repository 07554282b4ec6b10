"""Tests of clipcodec.retrieval."""
