"""Tests of clipcodec.carriers."""
