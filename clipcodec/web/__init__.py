"""`clipcodec browse`: a page in the browser for the pictures of a container (docs/browse.md).

    container, folder of pictures ─collection, pictures, thumbnails─▶ ┐
    words, images of the user ───────────words, encoders────────────▶ ├─views─▶ app ─guard─▶ browser
                                                                      ┘
pictures.py is the only module that turns an id into a file, guard.py the only one that decides
whose requests are answered. The page itself is in static/: no build step, nothing from the network.
"""
