"""Tests of clipcodec.kinds."""
