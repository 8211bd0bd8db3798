#!/usr/bin/env python
"""Convert an OpenAI or open_clip CLIP to a checkpoint of this project."""
from any_to_mmaction import convert, make_parser

if __name__ == '__main__':
    convert(make_parser(__doc__).parse_args(), ['openai'])
