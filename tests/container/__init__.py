"""Tests of clipcodec.container."""
