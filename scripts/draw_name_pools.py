#!/usr/bin/env python3
"""Draw the pools of first and last names from Faker, seeded, into seeds/pools/.

The pools are committed: importing Faker takes a third of a second, which a ten-event fixture has no time for, and a new release of Faker must
not change anyone's streams. Run again only to change the pools on purpose.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from faker import Faker

SEED = 1
COUNT = 400
LOCALES = ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "sv_SE", "pl_PL", "pt_PT"]
POOLS = Path(__file__).resolve().parent.parent / "seeds" / "pools"


def plain(name: str) -> str:
    """Give a name in small letters without accents; empty if letters of other kinds or signs remain."""
    bare = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return bare if bare.isalpha() and len(bare) == len(name) and len(bare) > 1 else ""


def draw(faker: Faker, kind: str) -> list[str]:
    """Draw until there are enough different names, in the order drawn. Each look-up of the method picks a locale anew."""
    found: dict[str, None] = {}
    while len(found) < COUNT:
        if name := plain(getattr(faker, kind)()):
            found.setdefault(name)
    return list(found)


def main() -> None:
    """Write both files."""
    faker = Faker(LOCALES)
    Faker.seed(SEED)
    for kind in ("first_name", "last_name"):
        header = f"# Parts of user names, drawn from Faker with seed {SEED} by scripts/draw_name_pools.py; not written by hand.\n"
        (POOLS / f"{kind}s.txt").write_text(header + "".join(f"{name}\n" for name in draw(faker, kind)), encoding="ascii")


if __name__ == "__main__":
    main()
