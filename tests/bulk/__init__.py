"""Tests of clipcodec.bulk."""
