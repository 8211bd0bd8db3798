"""Videos of pictures with four colors, and of grey light."""
from fractions import Fraction

import av
import numpy as np

# Red, green, blue and white, from the top left.
CORNERS = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]],
                   np.uint8)


def picture(height=96, width=128):
    return CORNERS.repeat(height // 2, 0).repeat(width // 2, 1)


def corners_of(image):
    """Return the middles of the four quarters of a picture."""
    height, width = image.shape[:2]
    return image[height // 4::(height + 1) // 2, width // 4::(width + 1) // 2]


def write_pictures(path, images, codec='libx264', pixels='yuv420p', sar=None,
                   matrix=None, tags=()):
    """Write pictures of any sizes, one encoder after the other a size."""
    with av.open(str(path), 'w') as container:
        stream = encoder = container.add_stream(codec, rate=25)
        if matrix:
            a, b, c, d = (round(value * 65536) for value in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        packets = []
        for i, image in enumerate(images):
            frame = image if isinstance(image, av.VideoFrame) else (
                av.VideoFrame.from_ndarray(image).reformat(format=pixels))
            if i == 0 or (encoder.width, encoder.height) != (frame.width, frame.height):
                if i:
                    packets += encoder.encode(None)
                    encoder = av.CodecContext.create(codec, 'w')
                encoder.width, encoder.height = frame.width, frame.height
                encoder.pix_fmt, encoder.framerate = pixels, Fraction(25)
                context = encoder.codec_context if i == 0 else encoder
                context.time_base, context.max_b_frames = Fraction(1, 25), 0
                context.bit_rate = 4_000_000
                if sar:
                    context.sample_aspect_ratio = sar
                for name, value in tags:
                    setattr(context, name, value)
            frame.pts, frame.time_base = i, Fraction(1, 25)
            packets += encoder.encode(frame)
        for packet in packets + encoder.encode(None):
            packet.stream = stream
            container.mux(packet)
    return path


def is_shown(image, expected):
    """Compare the corners of pictures, and their sizes."""
    return image.shape == expected.shape and np.abs(
        corners_of(image).astype(int) - corners_of(expected)).max() < 12


def grey(signal, size=64):
    """Return a frame of 10 bits."""
    frame = av.VideoFrame(size, size, 'yuv420p10le')
    for plane, value in zip(frame.planes, (round(64 + 876 * signal), 512, 512)):
        plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
    return frame


def pq(nits):
    """Return the signal of so much light (SMPTE ST 2084)."""
    y = (nits / 10000)**0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y))**78.84375


HDR = (('colorspace', 9), ('color_primaries', 9), ('color_range', 1))
