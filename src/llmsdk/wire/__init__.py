"""What providers over HTTP share: an address with its key, JSON bodies, refusals as typed errors, token figures.

``Hosted`` puts them together; a dialect adds its pure functions. Everything here may be used by third parties.
"""

from llmsdk.wire.faults import Said
from llmsdk.wire.host import Header, Host, check_base_url, check_key
from llmsdk.wire.hosted import Hosted
from llmsdk.wire.json import dump, parse

__all__ = ["Header", "Host", "Hosted", "Said", "check_base_url", "check_key", "dump", "parse"]
