"""What the bytes of a sound file say before anything decodes them: its container, and its end.

A decoder given half a file mostly returns half a recording without a word, and a learner would
then be told that half of the line was left out. So each container's own sizes are followed to the
end of the bytes first: where they prove that bytes are missing, that is an error. The same walk
counts the pieces (pages, frames, samples of an index): a 3 kB MP4 that announces 50 million samples
costs FFmpeg 660 MB for its index alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, Literal

from analysis.errors import AudioError

Container = Literal["wav", "flac", "ogg", "mp3", "aac", "mp4", "webm"]

MAX_PIECES: Final = 300_000
"""Opus at its shortest, 2.5 ms a packet, has 48,000 of them in 120 s."""
MAX_CHUNKS: Final = 1_000
"""Before a WAV's samples; studio software writes a dozen."""
WAV_SLACK_BYTES: Final = 64
"""Some writers count their own header into the size of the samples: 44 bytes too many."""
WAV_STREAMED_BYTES: Final = 0x7FFF_0000
"""Writers that cannot go back to the header announce about 2 or 4 GiB."""
XING_SLACK_BYTES: Final = 2_048
"""A frame at most: encoders differ in what they count, and a cut frame is noticed by itself."""
LONGEST_FRAME_HEAD_BYTES: Final = 7
"""What ADTS needs to say how long a frame is; MPEG audio needs four."""
TAIL_BYTES: Final = 64
"""Junk of less than this after the last piece is no sign of anything."""

_OTHER_AUDIO: Final = {
    b"FORM": "AIFF",
    b"caff": "CAF",
    b".snd": "AU",
    b"#!AMR": "AMR",
    b"MThd": "MIDI",
    b"wvpk": "WavPack",
    b"MAC ": "Monkey's Audio",
    b"0&\xb2u\x8ef\xcf\x11": "WMA or ASF",
}
_NOT_AUDIO: Final = {
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "gzip: upload the sound file itself",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"<": "HTML or XML, perhaps an error page",
    b"{": "JSON",
    b"[": "JSON",
}


def identify(data: bytes) -> Container:
    """Tell the container from the first bytes; a file's name plays no part.

    Raises
    ------
    AudioError
        ``audio_unsupported`` for sound in a container that is not taken, else ``audio_invalid``.
    """
    if data[:4] in {b"RIFF", b"RF64"}:
        if data[8:12] == b"WAVE" or len(data) < 12:
            return "wav"
        raise _unsupported(f"a RIFF file of {data[8:12]!r}")
    if data[:4] == b"OggS":
        return "ogg"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "webm"
    if data[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free"}:
        return "mp4"
    start = _after_id3(data)
    if data[start : start + 4] == b"fLaC":
        return "flac"
    if _adts_length(data, start):
        return "aac"
    if _is_mpeg_audio(data, start):
        return "mp3"
    for magic, name in _OTHER_AUDIO.items():
        if data.startswith(magic):
            raise _unsupported(name)
    begin = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _NOT_AUDIO.items():
        if begin.startswith(magic):
            raise _invalid(f"The file is not audio: it looks like {name}")
    raise _invalid(f"The file is not audio of a known kind: it begins with {data[:8].hex(' ')}")


def check_complete(container: Container, data: bytes) -> None:
    """Follow the container's own sizes to the end of the bytes.

    Raises
    ------
    AudioError
        ``audio_truncated`` where bytes are provably missing; ``audio_empty`` for a WAV of no
        samples; ``audio_invalid`` for more pieces than any recording has.
    """
    _CHECKS[container](data)


def _check_wav(data: bytes) -> None:
    position = 12
    long_size = None
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(data):
            raise _truncated("it ends before its samples begin")
        name, size = struct.unpack_from("<4sI", data, position)
        body = position + 8
        there = len(data) - body
        if name == b"ds64" and there >= 16:
            long_size = struct.unpack_from("<Q", data, body + 8)[0]
        if name == b"data":
            if data[:4] == b"RF64" and long_size is not None:
                size = long_size
            elif size >= WAV_STREAMED_BYTES:
                return
            if size == 0 and there > TAIL_BYTES:
                raise _truncated(
                    f"its header announces no samples, but {there:,} bytes follow: "
                    "the recorder did not close the file"
                )
            if size == 0:
                raise AudioError("audio_empty", "The WAV file has no samples.")
            if size > there + WAV_SLACK_BYTES:
                raise _truncated(f"its header announces {size:,} bytes of samples, {there:,} came")
            return
        position = body + size + size % 2
    raise _invalid(f"The WAV file has no samples among its first {MAX_CHUNKS:,} parts")


def _check_flac(data: bytes) -> None:
    # Only the metadata has sizes; the frames after it are counted while they are decoded.
    position = _after_id3(data) + 4
    last = False
    while not last:
        if position + 4 > len(data):
            raise _truncated("it ends inside its metadata")
        last = bool(data[position] & 0x80)
        position += 4 + int.from_bytes(data[position + 1 : position + 4], "big")
    if position > len(data):
        raise _truncated("it ends inside its metadata")


def _check_ogg(data: bytes) -> None:
    def pages() -> Iterator[int]:
        position = 0
        while data.startswith(b"OggS", position):
            segments = data[position + 26] if position + 26 < len(data) else 255
            lengths = data[position + 27 : position + 27 + segments]
            position += 27 + segments + sum(lengths)
            yield position
        if len(data) - position > TAIL_BYTES:
            raise _invalid(f"The Ogg file is damaged at byte {position:,}")

    _check_last_end("Ogg", "page", pages(), data)


def _check_mp3(data: bytes) -> None:
    start = _after_id3(data)
    announced = _xing_bytes(data, start)
    if announced is not None and announced > len(data) - start + XING_SLACK_BYTES:
        raise _truncated(f"its header announces {announced:,} bytes, {len(data) - start:,} came")
    _check_last_end("MP3", "frame", _frame_ends(data, start, _mpeg_length), data)


def _check_aac(data: bytes) -> None:
    _check_last_end("AAC", "frame", _frame_ends(data, _after_id3(data), _adts_length), data)


def _check_mp4(data: bytes) -> None:
    inside = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
    # Where a box says how many samples it indexes, from the end of its header.
    count_at = {b"stsz": 8, b"stz2": 8, b"trun": 4}
    boxes = samples = 0
    found: set[bytes] = set()
    position = 0
    while position + 8 <= len(data):
        boxes += 1
        size, name = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1 and position + 16 <= len(data):
            header, size = 16, struct.unpack_from(">Q", data, position + 8)[0]
        elif size == 0:
            size = len(data) - position
        if size < header:
            raise _invalid(f"The MP4 file is damaged at byte {position:,}")
        if position + size > len(data):
            raise _truncated(
                f"its part {name.decode('latin-1')!r} has {size:,} bytes, "
                f"{len(data) - position:,} came"
            )
        found.add(name)
        if name in count_at and size >= header + count_at[name] + 4:
            samples += struct.unpack_from(">I", data, position + header + count_at[name])[0]
        if boxes + samples > MAX_PIECES:
            raise _too_many("MP4")
        position += header if name in inside else size
    if not found & {b"moov", b"moof"}:
        raise _truncated("its index (moov) is missing: the recorder did not close the file")


def _check_webm(data: bytes) -> None:
    # Segment and cluster are entered, all else is stepped over. A browser's recorder writes both
    # with an unknown size; the blocks in them have one.
    entered = {0x18538067: "segment", 0x1F43B675: "cluster"}
    position = 0
    for _ in range(MAX_PIECES):
        if position >= len(data):
            return
        name, at, _ = _vint(data, position, marker=True)
        size, body, unknown = _vint(data, at, marker=False)
        if name is None or size is None:
            if len(data) - position < 12:
                raise _truncated("it ends inside a block")
            raise _invalid(f"The WebM file is damaged at byte {position:,}")
        if not unknown and body + size > len(data):
            raise _truncated(
                f"its {entered.get(name, 'block')} has {size:,} bytes, {len(data) - body:,} came"
            )
        position = body if name in entered else body + size
    raise _too_many("WebM")


_CHECKS: Final[dict[Container, Callable[[bytes], None]]] = {
    "wav": _check_wav,
    "flac": _check_flac,
    "ogg": _check_ogg,
    "mp3": _check_mp3,
    "aac": _check_aac,
    "mp4": _check_mp4,
    "webm": _check_webm,
}


def _vint(data: bytes, at: int, *, marker: bool) -> tuple[int | None, int, bool]:
    """Read an EBML variable-length integer: value, where it ends, and whether all bits are one."""
    length = 9 - data[at].bit_length() if at < len(data) else 9
    if length > 8 or at + length > len(data):
        return None, at, False
    value = int.from_bytes(data[at : at + length], "big")
    bits = value & ((1 << 7 * length) - 1)
    unknown = bits == (1 << 7 * length) - 1
    return (value if marker else bits), at + length, unknown


def _check_last_end(name: str, piece: str, ends: Iterator[int], data: bytes) -> None:
    end = 0
    for count, position in enumerate(ends):
        if count > MAX_PIECES:
            raise _too_many(name)
        end = position
    if end > len(data):
        raise _truncated(f"{end - len(data):,} or more bytes of its last {piece} are missing")


def _frame_ends(data: bytes, start: int, length_at: Callable[[bytes, int], int]) -> Iterator[int]:
    position = start
    while position < len(data) and (length := length_at(data, position)):
        position += length
        yield position
    if 0 < len(data) - position < LONGEST_FRAME_HEAD_BYTES and data[position] == 0xFF:
        yield position + LONGEST_FRAME_HEAD_BYTES


def _after_id3(data: bytes) -> int:
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    start = 10 + size
    if start > len(data):
        raise _truncated("it ends inside its ID3 tag")
    return len(data) - len(data[start:].lstrip(b"\0"))  # some writers pad the tag


def _adts_length(data: bytes, at: int) -> int:
    """Length of the ADTS frame at `at` in bytes, or 0 if there is none (ISO/IEC 13818-7, 6.2)."""
    if at + 7 > len(data) or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return 0
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length > 7 else 0


# Bitrates in kbit/s by (MPEG-1?, layer), and sample rates of MPEG-1 (ISO/IEC 11172-3, 2.4.2.3).
_KBITS: Final = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ: Final = (44_100, 48_000, 32_000)


def _mpeg_length(data: bytes, at: int) -> int:
    """Length of the MPEG audio frame at `at` in bytes, or 0 if there is none."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return 0
    version = data[at + 1] >> 3 & 3  # 0 is MPEG-2.5, 2 MPEG-2, 3 MPEG-1
    layer = 4 - (data[at + 1] >> 1 & 3)
    bitrate, rate, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in {0, 15} or rate == 3:
        return 0
    bits = _KBITS[version == 3, layer][bitrate] * 1000
    hz = _RATES_HZ[rate] >> (3 - version if version else 2)
    if layer == 1:
        return (12 * bits // hz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // hz + padding


def _is_mpeg_audio(data: bytes, at: int) -> bool:
    # One header in 2,000 places of noise looks right; two in the right distance do not.
    length = _mpeg_length(data, at)
    return bool(length) and (at + length >= len(data) or _mpeg_length(data, at + length) > 0)


def _xing_bytes(data: bytes, at: int) -> int | None:
    """Return the stream's length as the Xing or Info header of its first frame has it."""
    for tag in (b"Xing", b"Info"):
        position = data.find(tag, at, at + 64)
        if position >= 0 and position + 16 <= len(data):
            flags = data[position + 7]
            if flags & 2:
                return int(struct.unpack_from(">I", data, position + 8 + 4 * (flags & 1))[0])
    return None


def _invalid(what: str) -> AudioError:
    return AudioError("audio_invalid", f"{what}.")


def _truncated(what: str) -> AudioError:
    return AudioError("audio_truncated", f"The audio is cut short: {what}. Upload it again.")


def _unsupported(name: str) -> AudioError:
    return AudioError(
        "audio_unsupported",
        f"{name} is not taken: send WAV, FLAC, Ogg, MP3, M4A, MP4, AAC or WebM.",
    )


def _too_many(name: str) -> AudioError:
    return AudioError(
        "audio_invalid",
        f"The {name} file is built of more than {MAX_PIECES:,} pieces: no recording is.",
    )
