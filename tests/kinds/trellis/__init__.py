"""Tests of clipcodec.kinds.trellis."""
