"""What stands in a message beside text: images, recordings and PDFs, in the form of ``/chat/completions``."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Media, Message, Text

_SOUNDS = {
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3",
}  # fmt: skip
_PDF = "application/pdf"


def content(message: Message, *, fetches_files: bool = False) -> str | list[dict[str, Any]]:
    """The content of a message: its text, or a list of parts where it has more than text.

    A host that ``fetches_files`` finds the address of a PDF where others have its data.

    Raises:
        InputError: media in another turn than the user's.
        Unsupported: media of a kind that the dialect has no form for.
    """
    if not any(isinstance(part, Media) for part in message.parts):
        return message.text
    if message.role != "user":
        hint = 'Put it into a message of the role "user".'
        raise InputError(f"a message of the role {message.role!r} holds media", argument="messages", hint=hint)
    return [_part(part, fetches_files) for part in message.parts if isinstance(part, Text | Media)]


def _part(part: Text | Media, fetches_files: bool) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    kind = part.media_type.lower()
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": part.url or _data_url(part)}}
    if kind in _SOUNDS:
        return {"type": "input_audio", "input_audio": {"data": _base64(part), "format": _SOUNDS[kind]}}
    if kind == _PDF:
        held = part.url if fetches_files and part.url else _data_url(part)
        return {"type": "file", "file": {"filename": part.name or "document.pdf", "file_data": held}}
    raise _refused(part.media_type, "Images, PDFs, and recordings in WAV or MP3 can be sent.")


def _data_url(part: Media) -> str:
    return f"data:{part.media_type};base64,{_base64(part)}"


def _base64(part: Media) -> str:
    if part.data is None:
        raise _refused(f"a URL of {part.media_type}", "Only images may be given by URL: pass the bytes as data=.")
    return b64encode(part.data).decode()


def _refused(what: str, hint: str) -> Unsupported:
    return Unsupported(f"this dialect has no form for {what}", capability="media", hint=hint)
