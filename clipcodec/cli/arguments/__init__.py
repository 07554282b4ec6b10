"""What may be typed after `clipcodec`: a module for each family of verbs, and what they share.

Nothing heavy is imported here: `clipcodec --help` needs the standard library alone.
"""
