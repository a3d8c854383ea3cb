"""Configuration: one TOML file, the environment and arguments, merged into typed data.

What wins, from the top: arguments (``overrides=``, and a mapping given as ``config=``), ``LLMSDK_*`` variables, the
file, the vendor's own key variable, defaults. The file is ``config=``, else ``$LLMSDK_CONFIG``, else the first found
among ``llmsdk.toml`` from the working directory up to the root of its repository and ``config.toml`` in the user's
folder. Variables: ``LLMSDK_MODEL`` is ``default``; ``LLMSDK_<SECTION>_<KEY>`` (budget, cache, circuit, ledger, retry,
timeouts), ``LLMSDK_LIMITS_<NAME>_<KEY>`` and ``LLMSDK_PROVIDERS_<NAME>_<KEY>`` set one string, number or boolean of
that table.

Secrets stay out of here: ``{ env = "X" }`` is looked up by the registry, when that provider is first needed.
"""

from llmsdk.config.config import Config, ModelAlias, load

__all__ = ["Config", "ModelAlias", "load"]
