#!/usr/bin/env python
"""Convert the weights of a Hugging Face CLIPModel to a checkpoint of this project."""
from any_to_mmaction import convert, make_parser

if __name__ == '__main__':
    convert(make_parser(__doc__).parse_args(), ['huggingface'])
