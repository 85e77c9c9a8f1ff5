"""audiocur: audio dataset curation for music generation.

The public names stand in `__init__.pyi`; each is imported when it is first used.

>>> from audiocur import Decode, Loudness, Window
>>> [step.name for step in (Decode() >> Window(length_s=10) >> Loudness()).steps]
['decode', 'segment', 'loudness']
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
