"""Tests of clipcodec.errors."""
