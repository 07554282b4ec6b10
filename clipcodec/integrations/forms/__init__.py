"""The forms that `clipcodec.convert` knows, a module each; container/converting.py names them."""
