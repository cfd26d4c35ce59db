"""An event of a stream, as it is written."""

from scripts.inbox_streams import StreamItem


def test_data_is_cut_at_the_line_ends_of_the_format_and_at_no_other() -> None:
    item = StreamItem(7, "job", "one\ntwo\r\nthree\u2028still three\x85and yet")
    assert item.encode().decode() == (
        "id: 7\nevent: job\ndata: one\ndata: two\ndata: three\u2028still three\x85and yet\n\n"
    )
