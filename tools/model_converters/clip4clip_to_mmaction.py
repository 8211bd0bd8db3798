#!/usr/bin/env python
"""Convert a CLIP4Clip checkpoint to a checkpoint of this project."""
from any_to_mmaction import convert, make_parser

if __name__ == '__main__':
    convert(make_parser(__doc__).parse_args(), ['clip4clip'])
