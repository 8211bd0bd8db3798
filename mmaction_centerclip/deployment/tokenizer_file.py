"""Write a model's tokenizer for programs without open_clip."""
import os

from mmaction_centerclip.clip.models import build_tokenizer


def write_tokenizer(arch: str | dict, folder: str | os.PathLike) -> str | None:
    """Write the tokenizer of a model to a folder, and return the file's name.

    ``merges.txt`` of open_clip's byte pair encoding: the pairs that it joins, the first
    ones first. ``tokenizer.json`` of one of Hugging Face, for its package
    ``tokenizers``. None where there is no file for it.
    """
    tokenizer = build_tokenizer(arch)
    if hasattr(tokenizer, 'bpe_ranks'):
        pairs = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
        with open(os.path.join(folder, 'merges.txt'), 'w', encoding='utf-8') as file:
            file.writelines(f'{first} {second}\n' for first, second in pairs)
        return 'merges.txt'
    fast = getattr(getattr(tokenizer, 'tokenizer', None), 'backend_tokenizer', None)
    if fast is None:
        return None
    fast.save(os.path.join(folder, 'tokenizer.json'))
    return 'tokenizer.json'
