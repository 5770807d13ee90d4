"""Text that is not JSON ends in one kind of error, whatever is wrong with it."""

import pytest

from core.paths import from_json, read_json

DAMAGED = [b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"\0" * 40, b"nope", b"1 2"]


@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:8]))
def test_what_is_no_json_is_a_value_error_and_a_file_of_it_is_none(tmp_path, data):
    with pytest.raises(ValueError):  # noqa: PT011
        from_json(data)
    (tmp_path / "x.json").write_bytes(data)
    assert read_json(tmp_path / "x.json") is None
    assert read_json(tmp_path / "none.json") is None
    assert read_json(tmp_path) is None


def test_json_is_read_as_it_is(tmp_path):
    (tmp_path / "x.json").write_text('{"é": [1, null]}', encoding="utf-8")
    assert read_json(tmp_path / "x.json") == {"é": [1, None]}
