"""Messages in OpenAI's chat format: text, images, sound and files, each to the part it means."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from llmsdk import Media, Message, Text
from llmsdk.errors import InputError
from llmsdk.messages import from_dict

DATA = b64encode(b"\x89PNG").decode()


def parts(*content: dict[str, Any]) -> Any:
    return from_dict({"role": "user", "content": list(content)}, "messages[0]").content


def test_text_in_parts_is_text() -> None:
    assert parts({"type": "text", "text": "a"}, {"type": "text", "text": "b"}) == "ab"


def test_images_sound_and_files() -> None:
    assert parts(
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}},
        {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{DATA}", "filename": "a.pdf"}},
    ) == (
        Text("What is it?"),
        Media("image/png", b"\x89PNG"),
        Media("image/*", url="https://example.org/cat.jpg"),
        Media("audio/wav", b"\x89PNG"),
        Media("application/pdf", b"\x89PNG", name="a.pdf"),
    )


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video", "video": {}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,xyz"}},
        {"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}},
        {"type": "text"},
    ],
)
def test_a_part_that_means_nothing_is_refused_with_its_place(part: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        parts(part)
    assert caught.value.argument == "messages[0]"
    assert caught.value.hint


def test_bytes_do_not_show() -> None:
    assert "PNG" not in repr(Message("user", (Media("image/png", b"\x89PNG"),)))
