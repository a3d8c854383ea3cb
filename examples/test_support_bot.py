"""Tests of a small program that asks a model: no key, no network, no cost. Run them with: pytest test_support_bot.py"""

from __future__ import annotations

import pytest

from llmsdk import Client
from llmsdk.errors import LLMError, Overloaded
from llmsdk.testing import FaultServer, Scripted, faults

pytestmark = pytest.mark.usefixtures("llmsdk_no_network")


def support(client: Client, mail: str) -> str:
    """The program: spam is dropped, the rest gets an answer, and whoever writes while the model is away a kind word."""
    try:
        if client.classify(mail, ["question", "spam"]).label == "spam":
            return ""
        return client.chat(mail, system="You answer customers of a bicycle shop.").text
    except LLMError:
        return "We will write back tomorrow."


def test_a_question_is_answered(llmsdk_scripted: Scripted) -> None:
    llmsdk_scripted.replies += [{"question": 0.9, "spam": 0.1}, "Until six."]
    with Client("scripted:any", provider=llmsdk_scripted) as client:
        assert support(client, "How long are you open?") == "Until six."
    assert llmsdk_scripted.requests[1].messages[0].text.startswith("You answer customers")


def test_spam_costs_one_request(llmsdk_scripted: Scripted) -> None:
    llmsdk_scripted.replies += [{"question": 0.0, "spam": 1.0}]
    with Client("scripted:any", provider=llmsdk_scripted) as client:
        assert support(client, "Buy now!") == ""
    assert len(llmsdk_scripted.requests) == 1


def test_a_busy_model_is_asked_again(llmsdk_scripted: Scripted) -> None:
    llmsdk_scripted.replies += [Overloaded("busy"), {"question": 1.0, "spam": 0.0}, "Until six."]
    with Client("scripted:any", provider=llmsdk_scripted, config={"retry": {"base": 0.01}}) as client:
        assert support(client, "How long are you open?") == "Until six."


@pytest.mark.parametrize("fault", [faults.reset(), faults.garbage(), faults.cut(50), faults.status(401)])
def test_nobody_sees_a_traceback(llmsdk_server: FaultServer, fault: faults.Fault) -> None:
    llmsdk_server.inject(fault)
    with Client("openai:any", config=llmsdk_server.config()) as client:
        assert support(client, "How long are you open?") == "We will write back tomorrow."
