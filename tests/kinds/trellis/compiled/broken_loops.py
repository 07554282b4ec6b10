"""What importing the loops does where they cannot be compiled."""

raise OSError("no such processor")
