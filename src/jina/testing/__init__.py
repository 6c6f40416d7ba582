"""What users and we test with: services in the process of the test, services that end with it, a check for leaks.

Takes: Deployments and Flows.
Gives: `no_leaks`, and fixtures to pytest, which finds `jina.testing.plugin` by itself.
Never: is imported by anything else here.
"""

from jina.testing.leaks import no_leaks

__all__ = ["no_leaks"]
