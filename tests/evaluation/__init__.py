"""Tests of clipcodec.evaluation."""
