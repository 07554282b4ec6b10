"""The forms that `clipcodec.convert` knows, a module each; converting.py names them."""
