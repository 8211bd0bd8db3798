#!/usr/bin/env python
"""Convert a checkpoint of MMAction2's CLIPSimilarity to one of this project."""
from any_to_mmaction import convert, make_parser

if __name__ == '__main__':
    convert(make_parser(__doc__).parse_args(), ['clipsimilarity'])
