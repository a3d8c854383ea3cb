"""How much may be asked of an account at a host, and who goes next. Shared by all clients of the process.

An account is a host and a key. What the configuration allows holds for all models of the account together; what the
host says in its headers, or by refusing, holds for the model that was asked. Each has a queue of its own (``Gate``),
first come, first served, and a call passes both.
"""

from llmsdk.limits.limiter import ACCOUNTS, Limiter, Limits, Pass, shared
from llmsdk.limits.rules import Cost, Size

__all__ = ["ACCOUNTS", "Cost", "Limiter", "Limits", "Pass", "Size", "shared"]
