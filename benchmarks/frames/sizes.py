"""How large a frame is: by name, or in KiB.

The names stand for what frametest writes by them: an uncompressed DPX of that many pixels, 10 bits of red, green and
blue in 32, after a header of 64 KiB. Published are 12512 KiB for its 2k and 49856 KiB for its 4k, both full apertures
of film. For sd and hd nothing is: they are PAL and 1080 lines here. uhd and 8k, which it has not, are made alike.
"""

KIB = 1 << 10
HEADER = 64 * KIB
PIXEL = 4
NAMES = {
    "sd": (720, 576),
    "hd": (1920, 1080),
    "2k": (2048, 1556),
    "uhd": (3840, 2160),
    "4k": (4096, 3112),
    "8k": (7680, 4320),
}
LARGEST = 1 << 30


def named(name: str) -> int:
    """Bytes of a frame called `name`, which is one of NAMES."""
    width, height = NAMES[name]
    return HEADER + width * height * PIXEL


def frame_size(text: str) -> int:
    """Bytes of a frame of "hd", "2K" or "12512" (KiB); raises ValueError."""
    if text.lower() in NAMES:
        return named(text.lower())
    return kib(text)


def kib(text: str) -> int:
    """Bytes in that many KiB; raises ValueError."""
    size = int(text) * KIB if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 0 < size <= LARGEST:
        raise ValueError(f"{text!r} is no size of a frame: {', '.join(NAMES)}, or 1 to {LARGEST // KIB} (KiB)")
    return size
