"""Walk through the data sets and pipelines of a config."""
from collections.abc import Iterator


def find_pipelines(node: object) -> Iterator[list[dict]]:
    """Find the pipelines of a data loader's config, in wrapped data sets too."""
    for dataset in find_datasets(node):
        yield [step for step in dataset['pipeline'] if isinstance(step, dict)]


def find_datasets(node: object) -> Iterator[dict]:
    """Find the data sets of a loader's config, in wrappers too."""
    if isinstance(node, dict) and 'pipeline' in node:
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from find_datasets(value)


def step_type(step: object) -> str:
    """Return the name of the class of a config's part, or of what was built."""
    kind = step.get('type', '') if isinstance(step, dict) else type(step)
    return getattr(kind, '__name__', str(kind).split('.')[-1])
