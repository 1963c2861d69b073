"""A small site to try everything on without asking anybody's server: Clockwork, a history of keeping time.

    milestones.toml ─▶ pages.build ─▶ path → bytes ─▶ server.SampleSite on loopback
"""

from console.demo.site.server import SampleSite

__all__ = ["SampleSite"]
