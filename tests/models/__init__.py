"""Tests of clipcodec.models."""
