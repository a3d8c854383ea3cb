"""Replies that are kept, to be given again to whoever asks the very same.

``key`` says what the very same is, ``codec`` how the events of a reply become bytes and back, ``memory`` and ``sqlite``
where they are. A reply that cannot be read is one that is not there.
"""

from llmsdk.cache.cache import Cache, Store
from llmsdk.cache.key import Asked

__all__ = ["Asked", "Cache", "Store"]
