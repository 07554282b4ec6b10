"""Tests of clipcodec.training."""
