"""For the tests of those who build on llmsdk. Nothing in the library imports it, and a core install is enough for it.

``llmsdk.testing.conformance`` holds a provider to the contract: ``python -m llmsdk.testing conformance pkg:Provider``.
"""
