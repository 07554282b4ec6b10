"""The documentation site: what docs/build_site.py is made of.

staging   the pages of this repository, as the site has them, and their links
sidebar   the order of the pages: nav.yml, with the generated ones filled in
commands  one page for each verb of the command line
python    one page for each public module
outside   what a page would ask other hosts for: nothing
"""
