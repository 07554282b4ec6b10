"""Readers written from the texts alone: the standard library only, and no code of the package."""
