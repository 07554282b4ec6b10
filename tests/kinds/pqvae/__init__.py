"""Tests of clipcodec.kinds.pqvae."""
