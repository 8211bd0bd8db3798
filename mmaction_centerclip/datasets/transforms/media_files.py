"""Open a media file by its name, which is never taken for a pattern."""
import io

import av

__all__ = ['codec_name', 'open_media']


def open_media(source: str | bytes) -> av.container.InputContainer:
    """Open a local file, or the content of one, to read it.

    Args:
        source (str | bytes): The name or the content.
    """
    # With the protocol, so that a colon in a name is a part of it. Of pictures,
    # FFmpeg would take a % for the numbers of many, and read those.
    return av.open(
        f'file:{source}' if isinstance(source, str) else io.BytesIO(source),
        metadata_errors='replace', options={'pattern_type': 'none'})


def codec_name(stream: av.VideoStream) -> str:
    """Name the codec of a stream."""
    context = stream.codec_context  # none where there is no decoder
    return context.codec.canonical_name if context else 'not known to PyAV'
