"""Open a media file by its name, which is never taken for a pattern."""
import io

import av

__all__ = ['codec_name', 'open_media']

# Tags that are no text are not worth a video; PyAV 19 replaces them by itself.
LENIENT = {} if int(av.__version__.split('.')[0]) >= 19 else dict(
    metadata_errors='replace')


def open_media(source: str | bytes) -> av.container.InputContainer:
    """Open a local file, or the content of one, to read it.

    Args:
        source (str | bytes): The name or the content.
    """
    # With the protocol, so that a colon in a name is a part of it. FFmpeg takes
    # the name of a picture with a % for those of many pictures otherwise, and
    # even so does not find its size.
    if isinstance(source, str):
        container = av.open(
            f'file:{source}', options={'pattern_type': 'none'}, **LENIENT)
        if container.format.name != 'image2':
            return container
        container.close()
        with open(source, 'rb') as file:
            source = file.read()
    return av.open(io.BytesIO(source), **LENIENT)


def codec_name(stream: av.VideoStream) -> str:
    """Name the codec of a stream."""
    context = stream.codec_context  # none where there is no decoder
    return context.codec.canonical_name if context else 'not known to PyAV'
