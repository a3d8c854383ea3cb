"""What Google's hosts really sent: our reading equals that of Google's own package.

Where the two must differ, the exchange is listed here by name and in tests/wire/EXCLUDED.md with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gemini_witness import Witness
from recorded import Exchange, Reading, fold, folded, load, parsed, read, sizes, wire

from llmsdk.types import Message, Request, TokenCount
from llmsdk_providers.gemini import Gemini, Settings, Vertex, VertexSettings

BASE = "http://127.0.0.1:1"
GEMINI = Gemini("recorded", Settings(base_url=BASE))
VERTEX = Vertex("recorded", VertexSettings(base_url=BASE, project="p"))
HOSTS: dict[str, Gemini | Vertex] = {"google": GEMINI, "vertex": VERTEX}
METHODS = (":generateContent", ":streamGenerateContent", "(fixture)")
OTHER_APIS = ("src/interactions/", "google-vertex-embedding.json")
"""Fixtures without an address that are no replies of ``:generateContent``."""
FULL = {"google": 160, "vertex": 43}
"""Exchanges at the time of writing: fewer means that the reader lost some."""
ARRAYS = 6
"""Streams without ``?alt=sse``. We never ask for one, and neither reads it; in the frame that we ask for both do."""
IN_PIECES = "google-stream-no-args-tool-call.chunks.txt"
"""Arguments that come in pieces, which the package hands on unread."""
KINDS = {
    "ClientError": {"Unauthorized", "PermissionDenied", "NotFound", "InvalidRequest", "RateLimited", "QuotaExhausted"},
}


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    witness = Witness()
    yield witness
    witness.close()


def exchanges(shared: Path, provider: str) -> list[Exchange]:
    found = [item for method in METHODS for item in load(shared, provider, method)]
    return [item for item in found if not any(other in item.name for other in OTHER_APIS)]


def is_array(exchange: Exchange) -> bool:
    return exchange.body.lstrip().startswith(b"[")


def framed(exchange: Exchange) -> Exchange:
    """A stream in one array as it would have come with ``?alt=sse``: the same elements, an event each."""
    events = [f"data: {json.dumps(element)}\n\n" for element in json.loads(exchange.body)]
    head = [("content-type", "text/event-stream")]
    return replace(exchange, body="".join(events).encode(), headers=head, streamed=True)


def with_made_ids(official: Reading, mine: Reading) -> Reading:
    """The official reading, with our ids where the host gave none."""
    if len(official.calls) != len(mine.calls):
        return official
    pairs = zip(official.calls, mine.calls, strict=True)
    return replace(official, calls=tuple((theirs[0] or own[0], *theirs[1:]) for theirs, own in pairs))


def differences(exchange: Exchange, witness: Witness, host: Gemini | Vertex) -> list[str]:
    mine, official = read(host, exchange), witness.read(exchange)
    faults = []
    if official.error is not None:
        if mine.error not in KINDS[official.error] or mine.status != official.status:
            faults.append(f"{exchange.name}: {official} read as {mine}")
    elif (expected := with_made_ids(official, mine)) != mine:
        faults.append(f"{exchange.name}: {expected} read as {mine}")
    for size in sizes(exchange):
        if read(host, exchange, size) != mine:
            faults.append(f"{exchange.name}: {size} bytes at a time read as another reply")
    return faults


@pytest.mark.parametrize("provider", HOSTS)
def test_replies_are_read_as_the_official_package_reads_them(
    shared_data: Path, witness: Witness, provider: str
) -> None:
    found = exchanges(shared_data, provider)
    assert len(found) >= FULL[provider]
    fair = [framed(item) if is_array(item) else item for item in found if IN_PIECES not in item.name]
    assert [fault for item in fair for fault in differences(item, witness, HOSTS[provider])] == []


def test_a_stream_in_an_array_is_refused_in_clear_words(shared_data: Path) -> None:
    arrays = [item for item in exchanges(shared_data, "google") if is_array(item)]
    assert len(arrays) >= ARRAYS
    for item in arrays:
        assert read(GEMINI, item).error == "InvalidBody", item.name
        assert read(GEMINI, framed(item)).text or read(GEMINI, framed(item)).calls, item.name


def test_arguments_in_pieces(shared_data: Path) -> None:
    """The fixture of three calls, of which two come argument by argument."""
    (exchange,) = [item for item in exchanges(shared_data, "google") if IN_PIECES in item.name]
    reply = fold(VERTEX, exchange)
    calls = [(call.name, parsed(call.arguments_json)) for call in reply.choices[0].message.tool_calls]
    assert calls == [("read_theme", {}), *[("read_screen", {"id": name}) for name in "ABC"]][: len(calls)]
    assert len(calls) >= 2


def test_what_was_signed_goes_back_signed(shared_data: Path) -> None:
    """Every signature of every reply stands in the next request, in its place. Text parts in a row become one."""
    count = 0
    for exchange in exchanges(shared_data, "google"):
        if exchange.status != 200 or exchange.streamed or is_array(exchange):
            continue
        message = fold(GEMINI, exchange).choices[0].message
        asked = Request("gemini-2.5-flash", (Message("user", "x"), message))
        back = GEMINI.body(asked)["contents"][-1]["parts"]
        came = parsed(exchange.body.decode())["candidates"][0]["content"].get("parts")
        assert not came or joined(back) == joined(came), exchange.name
        count += b"thoughtSignature" in exchange.body
    assert count >= 40


def called(part: dict[str, Any]) -> dict[str, Any]:
    return {"args": {}, **part["functionCall"]}


def joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts, with text that goes on after unsigned text, and thoughts after thoughts, joined to it."""
    found: list[dict[str, Any]] = []
    for part in parts:
        last = found[-1] if found else {}
        same = "text" in part and "text" in last and part.get("thought") == last.get("thought")
        if same and "thoughtSignature" not in last:
            found[-1] = {**part, "text": last["text"] + part["text"]}
        else:
            found.append(part if "functionCall" not in part else part | {"functionCall": called(part)})
    return found


def test_embeddings_too(shared_data: Path, witness: Witness) -> None:
    found = [item for item in load(shared_data, "google", ":batchEmbedContents") if item.status == 200]
    assert found
    for exchange in found:
        official = witness.embed(exchange)
        reply = folded(GEMINI.embed("m", ["x"] * len(official), wire(exchange)))
        assert reply.output == tuple(map(tuple, official)), exchange.name


@pytest.mark.parametrize("provider", HOSTS)
def test_counts_too(shared_data: Path, witness: Witness, provider: str) -> None:
    found = list(load(shared_data, provider, ":countTokens"))
    assert found
    for exchange in found:
        reply = folded(HOSTS[provider].count_exactly(Request("m", "x"), wire(exchange)))
        assert reply.output == TokenCount(witness.count(exchange), "exact"), exchange.name
